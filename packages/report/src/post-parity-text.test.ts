import { equal } from "node:assert/strict";
import type { PostParityResult } from "@lapidary/offline/parity";
import { expectText } from "@lapidary/std/testing";
import { makePaint } from "./paint.js";
import { postParityText } from "./post-parity-text.js";

type Check = PostParityResult["checks"][number];

const check = (part: string, value: string, deviation: number, rest: Partial<Check> = {}): Check => {
  return { part, value, deviation, tolerance: 2e-5, mistake: false, undetectable: false, ok: true, ...rest };
};

const result: PostParityResult = {
  ok: false,
  chips: 256,
  workers: 2,
  mesh: "data=16,model=16",
  parts: ["sft", "grpo"],
  checks: [
    check("sft", "loss", 1.2e-7),
    check("sft", "tokens_counted", 0, { tolerance: 4e-4 }),
    check("sft", "doubled_bos", 2.57e-3, { mistake: true }),
    check("sft", "mean_of_row_means", 1e-9, { mistake: true, ok: false }),
    check("grpo", "loss", 3e-4, { ok: false }),
    check("grpo", "population_std", 0, { mistake: true, undetectable: true }),
  ],
};

describe("text of a parity run of post-training", () => {
  it("each part has a table of its distances, and the distances from known mistakes", () => {
    expectText(postParityText(result, makePaint(false)), new URL("../src/post-parity-text.txt", import.meta.url));
  });

  it("the last line of a run that agrees states the number of checks", () => {
    const passed = { ...result, ok: true, checks: result.checks.filter(({ ok }) => ok) };
    equal(postParityText(passed, makePaint(false)).split("\n").at(-1), "4 checks in 2 parts: in parity with TRL, PEFT and transformers");
  });
});
