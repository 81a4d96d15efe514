import { deepStrictEqual, match } from "node:assert/strict";
import type { ExampleSet, TextPrompt } from "@lapidary/data";
import type { StepEvaluation } from "./recipe.js";
import { evaluateRl, warningsOfEvaluations } from "./rl-evaluation.js";

const evaluation = (step: number, reward: number, check: number): StepEvaluation => ({
  step,
  metrics: { reward, check, check_std: 0.3, completions: 64 },
});

describe("evaluations of rl", () => {
  it("a reward that rises while the check falls is an alarm that names both steps", () => {
    const [alarm, ...others] = warningsOfEvaluations([evaluation(10, 0.2, 0.4), evaluation(20, 0.8, 0.9), evaluation(30, 1.6, 0)]);
    deepStrictEqual([alarm?.code, alarm?.place, others], ["LAP_RL_REWARD_HACKED", "step 30", []]);
    match(alarm?.message ?? "", /from step 20 to step 30.* 0\.800 to 1\.600.* 0\.900 to 0\.000/);
    match(alarm?.remedy ?? "", /end the run at step 20/);
  });

  it("evaluations without a checker cause no alarm", () => {
    const without = [10, 20].map((step) => ({ step, metrics: { reward: step, length: 3 } }));
    deepStrictEqual(warningsOfEvaluations(without), []);
  });

  it("an evaluation checks the completions that the reward scored, and no repeated prompt of the last batch counts", async () => {
    const prompts = [1, 2, 3].map((n) => ({ text: `${n}`, columns: { n }, ids: Int32Array.of(n) }));
    const set = {
      heldoutBatch: (batch: number) => ({
        examples: batch === 0 ? prompts.slice(0, 2) : [prompts[2], prompts[0]],
        own: batch === 0 ? 2 : 1,
      }),
    } as unknown as ExampleSet<TextPrompt>;
    const asked: string[] = [];
    const { loss, tokens, more } = await evaluateRl(
      {
        set,
        rollout: { prompts: 2, generations: 1 },
        decode: (ids) => ids.join(""),
        check: {
          check: async ({ prompt, answer }: { prompt: string; answer: string }) => {
            asked.push(`${prompt}:${answer}`);
            return prompt === "2" ? 0 : 1;
          },
        } as unknown as Parameters<typeof evaluateRl>[0]["check"],
        controller: {
          evaluate: async (groups) => ({
            scores: Float32Array.from(groups, ({ text }) => Number(text)),
            sources: new Map([["rm", Float32Array.from(groups, ({ text }) => 10 * Number(text))]]),
            completions: groups.map(() => Int32Array.of(7, 8)),
            ends: { lengths: Int32Array.from(groups, () => 2), isCutOff: Uint8Array.from(groups, () => 1) },
          }),
        },
      },
      2,
    );
    deepStrictEqual(asked, ["1:78", "2:78", "3:78"]);
    deepStrictEqual([loss, tokens], [-2, 6]);
    deepStrictEqual(
      [more?.["reward"], more?.["reward_rm"], more?.["cut_off"], more?.["completions"], more?.["check"]?.toFixed(4)],
      [2, 20, 1, 3, "0.6667"],
    );
  });
});
