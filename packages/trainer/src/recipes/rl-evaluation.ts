import type { ExampleSet, TextPrompt } from "@lapidary/data";
import { type CheckedReward, type Checker, meanAndStd, rewardHacking } from "@lapidary/evaluation";
import { assert, ensure, type Warning } from "@lapidary/std";
import { type CompletionSample, samplesOf } from "../rl/completion-sample.js";
import type { RlPrompt, RlSettings } from "../rl/rl-settings.js";
import type { RlStepController } from "../rl/rl-step-controller.js";
import type { Evaluation, StepEvaluation } from "./recipe.js";

export interface RlEvaluation {
  readonly controller: Pick<RlStepController, "evaluate">;
  readonly set: ExampleSet<TextPrompt>;
  readonly rollout: Pick<RlSettings["rollout"], "prompts" | "generations">;
  readonly decode: RlSettings["text"]["decode"];
  /** Checks the same completions. It trains nothing. */
  readonly check: Checker | undefined;
}

/** Held-out prompts whose completions an evaluation returns. */
const sampledPrompts = 4;

/** The loss of an evaluation is the negative mean score of completions of held-out prompts. */
export async function evaluateRl({ controller, set, rollout, decode, check }: RlEvaluation, count: number): Promise<Evaluation> {
  assert(count > 0, "an evaluation has batches", count);
  const { prompts, generations } = rollout;
  const all: { scores: number[]; checks: number[]; sources: Map<string, number[]> } = { scores: [], checks: [], sources: new Map() };
  const sum = { tokens: 0, cutOff: 0 };
  const samples: (readonly CompletionSample[])[] = [];
  for (let batch = 0; batch < count; batch++) {
    const { examples, own } = set.heldoutBatch(batch, prompts);
    const drawn = await controller.evaluate(examples satisfies readonly RlPrompt[], batch);
    const { scores, sources, ends, completions } = drawn;
    const rows = own * generations;
    for (const [at, { text }] of examples.slice(0, Math.min(own, sampledPrompts - samples.length)).entries())
      samples.push(samplesOf(drawn, at, text, { generations, decode }));
    all.scores.push(...scores.subarray(0, rows));
    for (const [name, values] of sources) all.sources.set(name, [...(all.sources.get(name) ?? []), ...values.subarray(0, rows)]);
    for (let row = 0; row < rows; row++) {
      sum.tokens += ensure(ends.lengths[row], "length");
      sum.cutOff += ensure(ends.isCutOff[row], "cut off");
    }
    if (check === undefined) continue;
    const checked = completions.slice(0, rows).map((completion, row) => {
      const { text, columns } = ensure(examples[Math.floor(row / generations)], "prompt");
      return check.check({ prompt: text, answer: decode([...completion]), columns });
    });
    all.checks.push(...(await Promise.all(checked)));
  }
  const [reward, checked] = [meanAndStd(all.scores), meanAndStd(all.checks)];
  const completions = all.scores.length;
  return {
    loss: -reward.mean,
    tokens: sum.tokens,
    more: {
      reward: reward.mean,
      reward_std: reward.std,
      ...Object.fromEntries([...all.sources].map(([name, values]) => [`reward_${name}`, meanAndStd(values).mean])),
      length: sum.tokens / completions,
      cut_off: sum.cutOff / completions,
      completions,
      ...(check === undefined ? {} : { check: checked.mean, check_std: checked.std }),
    },
    samples,
  };
}

/** The alarm of a run whose reward rises while the checker of its evaluations falls. */
export function warningsOfEvaluations(evaluations: readonly StepEvaluation[]): readonly Warning[] {
  const found = rewardHacking(evaluations.flatMap(checkedReward));
  if (found === undefined) return [];
  const { from, to } = found;
  return [
    {
      code: "LAP_RL_REWARD_HACKED",
      message: `from step ${from.step} to step ${to.step}, the reward of held-out prompts rose from ${from.reward.toFixed(3)} to ${to.reward.toFixed(3)}, and their check fell from ${from.check.toFixed(3)} to ${to.check.toFixed(3)}`,
      place: `step ${to.step}`,
      remedy: `raise rl.beta, or end the run at step ${from.step}; read the completions in the events of the run, and train the reward model on such answers`,
    },
  ];
}

function checkedReward({ step, metrics }: StepEvaluation): CheckedReward[] {
  const { reward, check, check_std: checkStd, completions: count } = metrics;
  if (reward === undefined || check === undefined || checkStd === undefined || count === undefined) return [];
  return [{ step, reward, check, checkStd, count }];
}
