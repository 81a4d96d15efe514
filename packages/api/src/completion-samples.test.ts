import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { clippedSamples, SampleHistory, sampleLimits, samplesByPrompt } from "./completion-samples.js";

const sampled = (step: number, prompt = "3 1 2", split: "train" | "heldout" = "heldout") => ({
  type: "completions_sampled" as const,
  step,
  split,
  completions: [{ prompt, completion: `${step}`, score: 1, finish_reason: "stop" as const }],
});
const stepsOf = (history: SampleHistory): number[] => history.samples.map(({ step }) => step);

describe("the samples of a run", () => {
  it("a history keeps the first and the newest step, in bounded memory, for any number of steps", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 3 }), (count, prompts) => {
        const history = new SampleHistory();
        for (let step = 1; step <= count; step++) for (let p = 0; p < prompts; p++) history.add(sampled(step, `prompt ${p}`));
        const steps = new Set(stepsOf(history));
        ok(steps.size <= sampleLimits.steps);
        ok(steps.has(1) && steps.has(count));
        strictEqual(history.samples.length, steps.size * prompts);
      }),
      { numRuns: 40 },
    );
  });

  it("a history bounds the prompts of a step, the completions of a prompt, and the length of texts", () => {
    const history = new SampleHistory();
    for (let p = 0; p < 50; p++) {
      const [first] = sampled(1, `${p} ${"x".repeat(100_000)}`).completions;
      history.add(
        clippedSamples({
          ...sampled(1),
          completions: Array.from({ length: 99 }, () => ({ ...first, completion: "y".repeat(9e4), prompt: first?.prompt ?? "", score: 0 })),
        }),
      );
    }
    strictEqual(history.samples.length, sampleLimits.promptsOfStep);
    ok(
      JSON.stringify(history.samples).length <
        sampleLimits.promptsOfStep * (sampleLimits.completions + 1) * (sampleLimits.characters + 200),
    );
  });

  it("a run that goes back to a checkpoint replaces the samples of later steps", () => {
    const history = new SampleHistory();
    for (const step of [10, 20, 30]) history.add(sampled(step));
    history.add(sampled(20));
    deepStrictEqual(stepsOf(history), [10, 20]);
    history.add(sampled(20, "another prompt"));
    history.add(sampled(20, "3 1 2", "train"));
    deepStrictEqual(stepsOf(history), [10, 20, 20, 20]);
  });

  it("a history that starts from a snapshot continues like the original", () => {
    const whole = new SampleHistory();
    for (let step = 1; step <= 30; step++) whole.add(sampled(step));
    const copy = new SampleHistory(JSON.parse(JSON.stringify(whole.samples)));
    for (let step = 31; step <= 90; step++) for (const history of [whole, copy]) history.add(sampled(step));
    deepStrictEqual(copy.samples, whole.samples);
  });

  it("samplesByPrompt puts held-out prompts first, then prompts with most steps", () => {
    const history = new SampleHistory();
    history.add(sampled(1, "seen once", "train"));
    for (const step of [1, 2]) history.add(sampled(step, "seen twice", "train"));
    history.add(sampled(2, "held out"));
    deepStrictEqual(
      samplesByPrompt(history.samples).map(({ prompt, split, steps }) => [prompt, split, steps.map(({ step }) => step)]),
      [
        ["held out", "heldout", [2]],
        ["seen twice", "train", [1, 2]],
        ["seen once", "train", [1]],
      ],
    );
  });
});
