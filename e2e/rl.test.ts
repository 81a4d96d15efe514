import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { buildModel, modelConfigSchema, type ParamSpec } from "@lapidary/models";
import { scoreParams, withValueModel } from "@lapidary/post-training";
import { type ArrayData, handleOf, stepIndex } from "@lapidary/protocol";
import { ensure, normalAt } from "@lapidary/std";
import { parseMesh } from "@lapidary/topology";
import {
  openPool,
  openSession,
  RlStepController,
  rlStates,
  type RlSettings,
  Rollout,
  type Session,
  type SessionOptions,
  weightHandle,
} from "@lapidary/trainer";
import { defaultRules } from "@lapidary/training";

const model = buildModel(
  modelConfigSchema.parse({ vocabSize: 32, modelDim: 16, layers: 2, heads: 4, kvHeads: 4, headDim: 4, mlpDim: 32, contextLength: 16 }),
);

const weightsOf = (params: readonly ParamSpec[], stream: number): Map<string, ArrayData> =>
  new Map(
    params.map(({ name, dims, init }, p) => {
      const scale = init.kind === "normal" ? 0.3 : 0;
      const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => scale * normalAt(1000 * stream + p, i));
      return [name, { dtype: "f32", dims, data }];
    }),
  );

const prompts = 4;
const generations = 4;
const rollout = { prompts, generations, promptTokens: 5, newTokens: 4, temperature: 0.8, stopTokens: [3, 7] };
const promptsOf = (step: number): ReturnType<RlSettings["promptsOf"]> =>
  Array.from({ length: prompts }, (_, i) => ({
    ids: [2, 8 + ((step + i) % 16), 9, 10 + i].slice(0, 3 + (i % 2)),
    text: `${i}`,
    columns: {},
  }));

/** Rewards answers with many tokens above 15. */
const checker = {
  name: "large",
  weight: 1,
  kind: "checker",
  check: async ({ answer }: { answer: string }) => answer.split(" ").filter((id) => Number(id) > 15).length,
} as const;

const clip = { low: 0.2, high: 0.2 };
const base: RlSettings = {
  model,
  update: {
    steps: 10,
    optimizer: { name: "adamw", lr: 1e-2, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0 },
    schedule: { name: "constant", warmup: 0 },
    clip: 1,
  },
  seed: 5,
  algorithm: { algorithm: "rloo", beta: 0.1, clip },
  rollout,
  promptsOf,
  rewards: [checker],
  cutOff: { rule: "score" },
  iterations: 1,
  text: { decode: (ids) => ids.join(" "), end: (ids) => ids, endTokens: 0 },
};

/** A step without the times of its phases. */
const figuresOf = ({ metrics, ...others }: Awaited<ReturnType<RlStepController["step"]>>): unknown => {
  const { ms, tokensPerSecond, ...rest } = metrics;
  ok(ms.update > 0 && tokensPerSecond.update > 0);
  return { ...others, rest };
};

describe("reinforcement learning", function () {
  this.timeout(300_000);
  let pool: Awaited<ReturnType<typeof openPool>> | undefined;
  before(async () => {
    pool = await openPool({ environment: process.env, workers: 2 });
  });
  after(() => pool?.close());

  async function withSession<T>(
    mesh: string,
    options: Pick<SessionOptions, "workers" | "zero" | "executor">,
    work: (session: Session) => Promise<T>,
  ): Promise<T> {
    const parsed = parseMesh(mesh);
    const rules = defaultRules(parsed, model.params);
    const session = await openSession({
      mesh: parsed,
      rules,
      environment: process.env,
      ...options,
      ...(pool === undefined ? {} : { pool }),
    });
    try {
      return await work(session);
    } finally {
      await session.close();
    }
  }

  async function started(session: Session, settings: RlSettings): Promise<RlStepController> {
    const controller = await RlStepController.load(session, settings);
    const policy = weightsOf(model.params, 1);
    const states = settings.algorithm.algorithm === "ppo" ? weightsOf(withValueModel(model).params, 1) : policy;
    await controller.initialize(states);
    await controller.putSet("reference", new Map([...states].filter(([name]) => policy.has(name))));
    return controller;
  }

  const meshes = [
    ["data=1", { workers: 1, zero: 0 }],
    ["data=4,model=2", { workers: 2, zero: 3 }],
    ["model=4", { workers: 2, zero: 0 }],
    ["data=2,model=2", { workers: 1, zero: 2, executor: "chipwise" }],
  ] as const;

  it("a rollout draws the same completions on every mesh", async () => {
    const drawn = [];
    for (const [mesh, options] of meshes)
      drawn.push(
        await withSession(mesh, options, async (session) => {
          await started(session, base);
          const shape = { batch: prompts * generations, generations, prompt: rollout.promptTokens, newTokens: 6 };
          const sampler = await Rollout.load(session, { model, shape, draw: { temperature: 1, stopTokens: [3] } });
          const { completions, logps } = await sampler.draw({ prompts: promptsOf(0), seed: 3, rollout: 2, step: stepIndex(0) });
          return { completions: [...completions], logps: [...logps] };
        }),
      );
    const [first, ...others] = drawn;
    ok(first !== undefined && first.completions.includes(3));
    for (const other of others) {
      deepStrictEqual(other.completions, first.completions);
      other.logps.forEach((logp, i) => ok(Math.abs(logp - ensure(first.logps[i], "logp")) < 1e-5));
    }
  });

  it("steps with gathered weights equal steps with sharded weights bit for bit", async () => {
    const meshes = [
      ["data=4,model=2", { workers: 2, zero: 3 }],
      ["data=2,model=2", { workers: 1, zero: 3, executor: "chipwise" }],
    ] as const;
    for (const [mesh, options] of meshes)
      await withSession(mesh, options, async (session) => {
        const names = rlStates(base).map(({ name }) => name);
        const runs = [];
        for (const weights of ["sharded", "gathered"] as const) {
          const controller = await started(session, { ...base, rollout: { ...rollout, weights } });
          const steps = [figuresOf(await controller.step(0)), figuresOf(await controller.step(1))];
          runs.push({ steps, states: await Promise.all(names.map((name) => session.group.fetch(handleOf(name)))) });
        }
        deepStrictEqual(runs[1], runs[0]);
        const held = await session.group.fetch(weightHandle("rollout/policy", "model.norm.weight")).then(
          () => "kept",
          () => "dropped",
        );
        strictEqual(held, "dropped");
      });
  });

  it("a step is a function of the states, the seed and its number", async () => {
    await withSession("data=4,model=2", { workers: 2, zero: 3 }, async (session) => {
      const names = rlStates(base).map(({ name }) => name);
      const states = (): Promise<ArrayData[]> => Promise.all(names.map((name) => session.group.fetch(handleOf(name))));
      const controller = await started(session, base);
      await controller.step(0);
      const between = await states();
      const second = await controller.step(1);
      const after = await states();
      await controller.putStates(new Map(names.map((name, i) => [name, ensure(between[i], name)])));
      deepStrictEqual(figuresOf(await controller.step(1)), figuresOf(second));
      deepStrictEqual(await states(), after);
    });
  });

  it("the mean reward of steps 3 to 7 is above that of the first with each algorithm", async () => {
    const algorithms: RlSettings["algorithm"][] = [
      { algorithm: "rloo", beta: 0.05, clip },
      { algorithm: "reinforce", beta: 0.05, clip },
      { algorithm: "grpo", beta: 0.05, clip, klWeight: true, reduction: "grpo", maxNewTokens: rollout.newTokens },
      { algorithm: "ppo", clip, clipValue: 0.2, valueWeight: 0.1, klCoef: 0.05, gamma: 1, lambda: 0.95 },
    ];
    await withSession("data=4,model=2", { workers: 2, zero: 3 }, async (session) => {
      for (const algorithm of algorithms) {
        const settings: RlSettings = { ...base, algorithm, iterations: algorithm.algorithm === "ppo" ? 2 : 1, cutOff: { rule: "mask" } };
        const controller = await started(session, settings);
        const rewards: number[] = [];
        for (let step = 0; step < 8; step++) {
          const { metrics, samples } = await controller.step(step);
          strictEqual(samples.length, generations);
          rewards.push(ensure(metrics.rewards.get("large"), "reward").mean);
          ok(metrics.logProbGap.max < 1e-4 && metrics.ratio.mean > 0.5 && Number.isFinite(metrics.gradNorm));
          strictEqual(metrics.value !== undefined, algorithm.algorithm === "ppo");
        }
        const later = rewards.slice(3).reduce((sum, reward) => sum + reward, 0) / (rewards.length - 3);
        ok(later > 1.2 * ensure(rewards[0], "reward"), `${algorithm.algorithm}: ${rewards.join(" ")}`);
      }
    });
  });

  it("a reward model scores answers, and its score is shifted and scaled", async () => {
    await withSession("data=4,model=2", { workers: 2, zero: 3 }, async (session) => {
      const source = { name: "rm", weight: 1, kind: "model", set: "reward", shift: 0, scale: 1 } as const;
      const scoresWith = async (shift: number, scale: number): Promise<number> => {
        const controller = await started(session, { ...base, rewards: [{ ...source, shift, scale }] });
        await controller.putSet("reward", weightsOf(scoreParams(model), 2));
        return ensure((await controller.step(0)).metrics.rewards.get("rm"), "reward").mean;
      };
      const raw = await scoresWith(0, 1);
      ok(Math.abs(raw) > 1e-3);
      ok(Math.abs((await scoresWith(1, 2)) - 2 * (raw - 1)) < 1e-4);
    });
  });

  it("a step stops if the reference is another model than the policy", async () => {
    await withSession("data=1", { workers: 1, zero: 0 }, async (session) => {
      const controller = await started(session, base);
      await controller.putSet("reference", weightsOf(model.params, 9));
      await rejects(controller.step(0), { code: "LAP_RL_REFERENCE" });
    });
  });
});
