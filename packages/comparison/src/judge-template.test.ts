import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { defaultTemplate, readJudgeTemplate, renderQuestion } from "./judge-template.js";

describe("the template of a judge", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-template-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const template = (text: string): ReturnType<typeof readJudgeTemplate> => {
    const path = join(directory, "template.md");
    writeFileSync(path, text);
    return readJudgeTemplate(path);
  };
  const error =
    (code: string, message: RegExp) =>
    (thrown: unknown): boolean => {
      ok(thrown instanceof LapidaryError);
      strictEqual(thrown.code, code);
      match(`${thrown.message} ${thrown.remedy}`, message);
      return true;
    };
  const answers = { prompt: "2+2", first: "4", second: "5", columns: { rubric: "be exact", right: 4 } };

  it("the question contains the prompt, both answers and columns of the row", () => {
    const { text } = template("{{ prompt }} | {{answer_a}} | {{answer_b}} | {{columns.rubric}} | {{columns.right}}\n");
    strictEqual(renderQuestion({ name: "t", text }, answers), "2+2 | 4 | 5 | be exact | 4");
  });

  it("a placeholder in an answer stays as it is", () => {
    const question = renderQuestion(defaultTemplate, { ...answers, first: "{{answer_b}} $& $1", second: "{{columns.rubric}}" });
    ok(question.includes("Answer A:\n{{answer_b}} $& $1\n"));
    ok(question.includes("Answer B:\n{{columns.rubric}}\n"));
  });

  it("a template with an unknown placeholder or without a required one is refused", () => {
    throws(() => template("{{prompt}} {{answr_a}} {{answer_b}}"), error("LAP_JUDGE_TEMPLATE", /did you mean \{\{answer_a\}\}/));
    throws(() => template("{{prompt}} {{answer_a}}"), error("LAP_JUDGE_TEMPLATE", /no \{\{answer_b\}\}/));
    throws(() => readJudgeTemplate(join(directory, "missing")), { code: "LAP_FILE_MISSING" });
  });

  it("a column that the row does not have is an error", () => {
    const columns = { name: "t", text: "{{columns.other}} {{columns.toString}}" };
    throws(() => renderQuestion(columns, answers), error("LAP_JUDGE_TEMPLATE", /column other/));
    deepStrictEqual(answers.columns, { rubric: "be exact", right: 4 });
  });
});
