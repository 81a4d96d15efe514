import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { parametersOf, printGraph } from "@lapidary/ir";
import { tinyGemma } from "@lapidary/models/testing";
import { ensure } from "@lapidary/std";
import type { RunReport } from "@lapidary/protocol";
import { openLossSteps } from "./loss-steps.js";
import { pretrain } from "./pretrain.js";
import type { RecipeRequest, RecipeRun } from "./recipe.js";
import { recipeOf } from "./recipes.js";
import { rl } from "./rl.js";
import { sft } from "./sft.js";

const request: RecipeRequest = {
  model: tinyGemma,
  update: {
    steps: 4,
    optimizer: { name: "adamw", lr: 0.1, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0 },
    schedule: { name: "constant", warmup: 0 } as RecipeRequest["update"]["schedule"],
  },
  batch: 2,
  seq: 8,
  build: {},
  seed: 1,
};
const rlJob = {
  algorithm: "rloo",
  generations: 2,
  rollout: { temperature: 1, max_new_tokens: 3, weights: "sharded" },
  beta: 0.1,
  iterations: 1,
  clip: 0.2,
  truncated: "mask",
} as const;
const lora = { rank: 2, alpha: 4, targets: ["q_proj"] } as const;

describe("recipes", () => {
  it("pretraining is the recipe of a job without one, with the programs that runs have always had", () => {
    strictEqual(recipeOf({}), pretrain);
    deepStrictEqual(Object.keys(pretrain.graphs(request).graphs), ["train_step", "init", "eval_step", "next_token"]);
  });

  for (const [name, recipe, change] of [
    ["pretrain", pretrain, {}],
    ["sft", sft, {}],
    ["sft with an adapter", sft, { lora }],
  ] as const)
    it(`${name}: the programs share states, frozen weights and batch arrays by name`, () => {
      const { graphs, states, frozen } = recipe.graphs({ ...request, ...change });
      const stored = new Set([...states, ...frozen].map((state) => state.name));
      const names = (program: string): string[] => parametersOf(ensure(graphs[program], program).trace()).map((one) => one.name);
      const outputs = (program: string): string[] =>
        ensure(graphs[program], program)
          .trace()
          .outputs.map((one) => one.name);
      deepStrictEqual(new Set(names(recipe.stepProgram)), new Set([...stored, ...recipe.batchArrays]));
      deepStrictEqual(new Set(outputs("init")), new Set(states.map((state) => state.name)));
      ok(states.every((state) => outputs(recipe.stepProgram).includes(state.name)));
      ok(names("eval_step").every((one) => stored.has(one) || recipe.batchArrays.some((array) => array === one)));
      ok(names("next_token").every((one) => stored.has(one) || ["tokens", "position"].includes(one)));
    });

  for (const [name, change, stepInputs] of [
    ["reward", {}, ["tokens", "last", "margin"]],
    ["dpo", { dpo: { beta: 0.1, loss: "sigmoid", smoothing: 0 } }, ["tokens", "targets", "mask", "reference_logps"]],
    [
      "rl",
      { rl: rlJob, stop: { stopTokens: [1], endTokens: 1 } },
      ["tokens", "targets", "mask", "segments", "old_logps", "reference_logps", "scores"],
    ],
  ] as const)
    it(`${name}: the step program reads and returns the states of init, and other programs read weights of the run`, () => {
      const recipe = recipeOf({ recipe: name });
      const { graphs, states } = recipe.graphs({ ...request, ...change, recipe: name, batch: 4 });
      const stored = states.map((state) => state.name);
      const step = ensure(graphs[recipe.stepProgram], "step").trace();
      deepStrictEqual(new Set(parametersOf(step).map((one) => one.name)), new Set([...stored, ...stepInputs]));
      const outputs = new Set(step.outputs.map((one) => one.name));
      ok([...stored, ...recipe.metrics].every((one) => outputs.has(one)));
      const init = ensure(graphs["init"], "init").trace();
      deepStrictEqual(new Set(init.outputs.map((one) => one.name)), new Set(stored));
      for (const { trace } of Object.values(graphs)) ok(trace().outputs.length > 0);
    });

  for (const [name, change] of [
    ["reward", {}],
    ["dpo", { dpo: { beta: 0.1, loss: "sigmoid", smoothing: 0 } }],
    ["rl", { rl: rlJob }],
  ] as const)
    it(`${name} with an adapter: the states are those of the adapter, and the weights of the model are frozen`, () => {
      const recipe = recipeOf({ recipe: name });
      const { graphs, states, frozen } = recipe.graphs({ ...request, ...change, recipe: name, batch: 4, lora });
      const own = name === "reward" ? ["params/score.weight"] : [];
      const trained = states.filter(({ role }) => role === "param").map((state) => state.name);
      ok(trained.every((one) => one.includes("lora_") || own.includes(one)));
      strictEqual(trained.length, 2 + own.length);
      const step = ensure(graphs[recipe.stepProgram], "step").trace();
      const read = new Set(parametersOf(step).map((one) => one.name));
      ok([...states, ...frozen].every((state) => read.has(state.name)));
      const written = new Set(step.outputs.map((one) => one.name));
      ok(frozen.length > 0 && frozen.every((state) => !written.has(state.name)));
    });

  it("with an adapter, no program of rl or dpo has a second set of weights for the reference", () => {
    const { graphs } = rl.graphs({ ...request, recipe: "rl", batch: 4, rl: rlJob, lora });
    const names = parametersOf(ensure(graphs["rollout_logprobs"], "program").trace()).map((one) => one.name);
    ok(names.some((one) => one.includes("lora_A")) && names.every((one) => !one.includes("reference")));
  });

  it("ppo trains the whole value model too, also with an adapter, and only ppo has its program", () => {
    const ppo = { gamma: 1, lambda: 0.95, value_weight: 0.1, value_clip: 0.2 };
    for (const more of [{}, { lora }]) {
      const { graphs, states } = rl.graphs({ ...request, recipe: "rl", batch: 4, rl: { ...rlJob, algorithm: "ppo", ppo }, ...more });
      const names = states.map((state) => state.name);
      ok(["params/value.score.weight", "adam_m/value.score.weight", "params/value.model.norm.weight"].every((one) => names.includes(one)));
      deepStrictEqual(
        new Set(
          ensure(graphs["init"], "init")
            .trace()
            .outputs.map((one) => one.name),
        ),
        new Set(names),
      );
      ok("values" in graphs);
    }
    ok(!("values" in rl.graphs({ ...request, recipe: "rl", batch: 4, rl: rlJob }).graphs));
  });

  it("with several updates a rollout, the schedule of rl counts updates", () => {
    const warm = { ...request.update, schedule: { name: "constant", warmup: 2 } as const };
    const text = (iterations: number, update: RecipeRequest["update"]): string => {
      const { graphs } = rl.graphs({ ...request, update, recipe: "rl", batch: 4, rl: { ...rlJob, iterations } });
      return printGraph(ensure(graphs["rl_step"], "step").trace());
    };
    strictEqual(text(3, warm), text(1, { ...warm, steps: 12, schedule: { name: "constant", warmup: 6 } }));
  });

  it("an adapter's states are its matrices, their moments and the count of steps", () => {
    const { states, frozen } = sft.graphs({ ...request, lora });
    deepStrictEqual(
      states.map(({ role }) => role),
      ["param", "param", "optimizer", "optimizer", "optimizer", "optimizer", "step"],
    );
    ok(frozen.length > 0 && frozen.every(({ role }) => role === "param"));
  });
});

describe("the controller of loss steps", () => {
  it("a step sends batch and run before the first answer, and an evaluation adds the sums of its batches", async () => {
    const sent: string[] = [];
    const answers: ((report: RunReport) => void)[] = [];
    const run: RecipeRun = {
      programs: [],
      hasController: false,
      tensors: () => ({ parameters: [], outputs: [] }),
      states: ["w"],
      host: undefined as unknown as RecipeRun["host"],
      fetch: () => Promise.reject(new Error("no step fetches an array")),
      drop: async () => undefined,
      load: async (program) => ({
        put: async () => undefined,
        feed: async (split, batch) => void sent.push(`${program} ${split} ${batch}`),
        run: ({ step }) => {
          sent.push(`${program} ${step}`);
          return new Promise((resolve) => answers.push(resolve));
        },
      }),
    };
    const report = (scalars: Record<string, number>): RunReport => ({ scalars: new Map(Object.entries(scalars)) }) as unknown as RunReport;
    const steps = await openLossSteps(pretrain, run);
    const first = steps.step(0, 0, false);
    void steps.step(1, 2, false);
    deepStrictEqual(sent, ["train_step train 0", "train_step 0", "train_step train 2", "train_step 1"]);
    const metrics = { loss: 1, grad_norm: 2, learning_rate: 3, tokens_counted: 4 };
    answers[0]?.(report({ ...metrics, more: 5 }));
    deepStrictEqual(await first, metrics);
    const evaluated = steps.evaluate(2);
    await new Promise((resolve) => setImmediate(resolve));
    answers[2]?.(report({ loss_sum: 6, tokens_counted: 2 }));
    answers[3]?.(report({ loss_sum: 2, tokens_counted: 6 }));
    deepStrictEqual(await evaluated, { loss: 1, tokens: 8 });
    await rejects(steps.evaluate(0));
  });
});
