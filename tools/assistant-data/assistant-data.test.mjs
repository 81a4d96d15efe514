import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../setup/session.mjs";
import { assistantExamples } from "./examples.mjs";

const { commandTree } = await import("../../packages/cli/dist/tree.js");
const { train, heldOut } = assistantExamples(projectRoot, commandTree);

describe("the examples of the assistant", () => {
  it("every stored example has one question and an answer that is a sentence", () => {
    for (const file of ["train.jsonl", "held-out.jsonl"]) {
      const lines = readFileSync(join(projectRoot, "configs/pipelines/assistant", file), "utf8")
        .trim()
        .split("\n");
      assert.ok(lines.length > 300, file);
      for (const line of lines) {
        const { messages, subset } = JSON.parse(line);
        assert.deepEqual(
          messages.map((/** @type {{ role: string }} */ { role }) => role),
          ["user", "assistant"],
        );
        assert.match(messages[1].content, /^\S.{3,}[.!?]$/, line);
        assert.ok(typeof subset === "string");
      }
    }
  });

  it("a held-out question is not a training question, and its answer is a training answer", () => {
    /** @param {typeof train[number]} example @param {number} turn */
    const text = ({ messages }, turn) => messages[turn]?.content ?? "";
    const questions = new Set(train.map((example) => text(example, 0)));
    const answers = new Set(train.map((example) => text(example, 1)));
    assert.ok(heldOut.length > 300);
    for (const example of heldOut) {
      assert.ok(!questions.has(text(example, 0)), text(example, 0));
      assert.ok(answers.has(text(example, 1)), text(example, 1));
    }
  });
});
