import { hash32 } from "@lapidary/std";
import type { PipelineDetail, PipelineSubmitted } from "@lapidary/api";
import type { Comparison, WinResult } from "@lapidary/api/comparison";
import type { RunEventOf } from "@lapidary/api/run-events";
import { isFinal } from "@lapidary/api";
import type { RunStore } from "@lapidary/telemetry";
import type { Service } from "../http/service.js";
import { describeJob, parseJob } from "../jobs.js";
import { pipelineDetail } from "../pipeline-detail.js";

/** Generated numbers of a recipe. `through` is the share of the steps that are done, and `noise` draws from −½ to ½. */
export interface RecordedRecipe {
  readonly metrics: (through: number, noise: () => number) => Record<string, number>;
  readonly heldout: (through: number) => Record<string, number>;
  readonly samples: (through: number) => readonly RunEventOf<"completions_sampled">["completions"][];
}

const sorted = (prompt: string): string =>
  [...prompt]
    .filter((c) => /\d/.test(c))
    .sort()
    .join("");

/** Runs that learn to sort five digits, as `recipe: rl` records them. @param prompts of evaluations */
export const recordedRl = (prompts: readonly string[]): RecordedRecipe => ({
  metrics(through, noise) {
    const learned = 1 - Math.exp(-4 * through);
    const reward = 0.33 + 0.6 * learned + 0.06 * noise();
    return {
      reward,
      reward_std: Math.sqrt(Math.max(0, reward * (1 - reward))),
      reward_checker: reward,
      flat_groups: 0.2 + 0.5 * learned + 0.05 * noise(),
      kl: 0.17 * learned + 0.01 * Math.abs(noise()),
      kl_completion: 1.02 * learned + 0.05 * Math.abs(noise()),
      kl_k1: 0.17 * learned + 0.04 * noise(),
      kl_k3: 0.17 * learned + 0.02 * Math.abs(noise()),
      entropy: 0.42 - 0.32 * learned + 0.02 * noise(),
      length: 6 + 0.2 * noise(),
      length_max: 7,
      cut_off: Math.max(0, 0.03 * (1 - learned) + 0.01 * noise()),
      stopped_end_of_turn: Math.min(1, 0.97 + 0.03 * learned),
      ratio_mean: 1 + 0.004 * noise(),
      ratio_max: 1.2 + 0.3 * Math.abs(noise()),
      clip_low: Math.max(0, 0.01 + 0.01 * noise()),
      clip_high: Math.max(0, 0.02 + 0.01 * noise()),
      log_prob_gap: 1e-6 * (1 + Math.abs(noise())),
      rollout_tokens_per_s: 5200 + 300 * noise(),
      update_tokens_per_s: 21_000 + 900 * noise(),
      prefill_ms: 46 + 4 * noise(),
      decode_ms: 182 + 24 * noise(),
      score_ms: 4 + noise(),
      reference_ms: 58 + 6 * noise(),
      update_ms: 94 + 9 * noise(),
    };
  },
  heldout: (through) => ({ reward: 0.31 + 0.6 * (1 - Math.exp(-4 * through)), length: 6 }),
  samples: (through) =>
    prompts.map((prompt, p) =>
      Array.from({ length: 4 }, (_, i) => {
        const draw = hash32(p * 4 + i, Math.round(through * 1000)) / 2 ** 32;
        const isRight = draw < 0.33 + 0.6 * (1 - Math.exp(-4 * through));
        const wrong = draw > 0.97 ? `${sorted(prompt)}${sorted(prompt)}` : [...sorted(prompt)].reverse().join("");
        const finish_reason = wrong.length > 5 && !isRight ? ("length" as const) : ("stop" as const);
        return { prompt, completion: isRight ? sorted(prompt) : wrong, score: isRight ? 1 : 0, finish_reason };
      }),
    ),
});

/** The score interval of Wilson, 1927, at 95 %. */
function wilson(rate: number, n: number): [number, number] {
  const z = 1.959964;
  const [center, spread] = [rate + (z * z) / (2 * n), z * Math.sqrt((rate * (1 - rate)) / n + (z * z) / (4 * n * n))];
  const scale = 1 + (z * z) / n;
  return [(center - spread) / scale, (center + spread) / scale];
}

function winResult(wins: number, ties: number, losses: number): WinResult {
  const n = wins + ties + losses;
  const rate = (wins + ties / 2) / n;
  const interval = wilson(rate, n);
  return {
    wins,
    ties,
    losses,
    n,
    rate,
    normal95: interval,
    wilson95: interval,
    sign_test_p: wins === losses ? 1 : 0.001,
    scores: null,
    equal_answers: 0,
    contradictions: Math.round(ties / 2),
    contradiction_share: Math.round(ties / 2) / n,
    first_share: 0.54,
    winner_mean_length: 182.4,
    loser_mean_length: 140.2,
    longer_share: 0.61,
  };
}

/** A comparison by a model as judge, with subsets for and against the candidate. */
export const recordedComparison: Comparison = {
  candidate: { name: "tuned", run: "tuned", step: 300 },
  baseline: { name: "base", run: "base", step: 500 },
  source: { kind: "judge" },
  sets: [
    {
      data: "/data/held-out.jsonl",
      prompts: 512,
      unjudged: 0,
      unjudged_reason: null,
      result: winResult(262, 140, 110),
      result_by_subset: {
        creativity: winResult(40, 30, 50),
        factuality: winResult(90, 30, 18),
        "instruction following": winResult(110, 50, 20),
        refusal: winResult(12, 6, 2),
        safety: winResult(10, 24, 20),
      },
      answers: null,
      loss: { candidate: 1.913, baseline: 2.604 },
      loss_by_subset: { factuality: { candidate: 1.702, baseline: 2.511 } },
      samples: [
        {
          id: "1",
          prompt: "Explain the term HBM.",
          candidate: "HBM is the memory of a chip. It holds weights, optimizer state and activations.",
          baseline: "export function hbm() {",
          outcome: "win",
        },
      ],
    },
  ],
};

/** The operations of a service on pipelines of recorded runs. The id of a run is `PIPELINE-NAME`. */
export function recordedPipelines(
  runs: RunStore,
  root: string,
  cancel: (run: string) => void,
): Pick<Service, "submitPipeline" | "pipeline" | "cancelPipeline"> {
  const runsOf = (id: string): ReturnType<RunStore["get"]>[] =>
    runs
      .list({ limit: 1000 })
      .jobs.filter(({ pipeline }) => pipeline === id)
      .map((summary) => runs.get(summary.id))
      .reverse();
  const nameIn = (id: string, run: string): string => run.slice(id.length + 1);
  return {
    submitPipeline: async (request): Promise<PipelineSubmitted> => {
      const id = request.name ?? `${request.like}-1`;
      const jobs = request.jobs.map(({ name, needs, job }) => {
        const described = describeJob(parseJob({ job, overrides: [] }, root));
        const run = `${id}-${name}`;
        const place = { pipeline: id, needs: needs.map((need) => `${id}-${need}`) };
        runs.create({ ...described, ...place, name: { exactly: run }, priority: 0, queue_id: run });
        return { name, run, needs };
      });
      return { id, existed: false, jobs, warnings: [] };
    },
    pipeline: (id): PipelineDetail => {
      const found = runsOf(id);
      // The error for an unknown run has the same code as that for an unknown pipeline.
      const [first = runs.get(id)] = found;
      const jobs = found.map((run) => ({ name: nameIn(id, run.id), run: run.id, needs: run.needs.map((need) => nameIn(id, need)) }));
      return pipelineDetail({ id, created_at: first.summary.created_at, fingerprint: "", jobs }, runs);
    },
    cancelPipeline: async (id) => {
      const waiting = runsOf(id).filter(({ state }) => state === "queued");
      for (const run of waiting) cancel(run.id);
      return { id, cancelled: waiting.map((run) => run.id), running: runsOf(id).flatMap((run) => (isFinal(run.state) ? [] : [run.id])) };
    },
  };
}
