import { type Program, compile, type RematPolicy } from "@lapidary/compiler";
import { type GemmaConfig, gemma } from "@lapidary/models";
import { makeMesh } from "@lapidary/topology";
import { trainStep } from "@lapidary/training";

/** Rules, ZeRO stage and mesh of a way to lay training over a pod, as a job file states them. */
export interface Strategy {
  readonly mesh: Readonly<Record<string, number>>;
  readonly rules: Readonly<Record<string, string | readonly string[] | null>>;
  readonly zero: 0 | 1 | 2 | 3;
  readonly zeroAxes?: readonly string[];
}

const tensor = { heads: "model", kv_heads: "model", mlp: "model", vocab: "model" };

/** The strategies that people use, on 256 chips. */
export const strategies = {
  data: { mesh: { data: 256 }, rules: { batch: "data" }, zero: 0 },
  "zero-1": { mesh: { data: 256 }, rules: { batch: "data" }, zero: 1 },
  "zero-2": { mesh: { data: 256 }, rules: { batch: "data" }, zero: 2 },
  "zero-3": { mesh: { data: 256 }, rules: { batch: "data" }, zero: 3 },
  tensor: { mesh: { data: 16, model: 16 }, rules: { batch: "data", ...tensor }, zero: 0 },
  "tensor + zero-3": { mesh: { data: 16, model: 16 }, rules: { batch: "data", ...tensor }, zero: 3 },
  "tensor + sequence": { mesh: { data: 16, model: 16 }, rules: { batch: "data", ...tensor, activation_seq: "model" }, zero: 0 },
  "two-dimensional weights": { mesh: { data: 16, model: 16 }, rules: { batch: "data", ...tensor, embed: "data" }, zero: 1 },
  "multi-pod": { mesh: { pod: 2, data: 8, model: 16 }, rules: { batch: ["pod", "data"], ...tensor }, zero: 3, zeroAxes: ["data"] },
} as const satisfies Record<string, Strategy>;

export const nano16: GemmaConfig = {
  vocabSize: 512,
  modelDim: 64,
  layers: 2,
  heads: 16,
  kvHeads: 16,
  headDim: 16,
  mlpDim: 256,
  contextLength: 32,
  ropeTheta: 10000,
  normEps: 1e-6,
};
export const gemma7b: GemmaConfig = {
  vocabSize: 256128,
  modelDim: 3072,
  layers: 28,
  heads: 16,
  kvHeads: 16,
  headDim: 256,
  mlpDim: 24576,
  contextLength: 8192,
  ropeTheta: 10000,
  normEps: 1e-6,
};
export const gemma2b: GemmaConfig = {
  vocabSize: 256128,
  modelDim: 2048,
  layers: 18,
  heads: 8,
  kvHeads: 1,
  headDim: 256,
  mlpDim: 16384,
  contextLength: 8192,
  ropeTheta: 10000,
  normEps: 1e-6,
};

export function compileStep(
  config: GemmaConfig,
  strategy: Strategy,
  shape: { batch: number; seq: number },
  options: { clip?: number; remat?: RematPolicy } = {},
): Program {
  const update = {
    steps: 100,
    optimizer: { name: "adamw", lr: 1e-3, betas: [0.9, 0.95] as [number, number], eps: 1e-8, weight_decay: 0.1 },
    schedule: { name: "constant", warmup: 0 },
    clip: options.clip,
  } as const;
  const graph = trainStep(gemma(config), update, shape);
  return compile(graph, {
    mesh: makeMesh(strategy.mesh),
    rules: strategy.rules,
    zero: { stage: strategy.zero, axes: strategy.zeroAxes ?? Object.keys(strategy.mesh).filter((axis) => axis === "data") },
    remat: options.remat ?? "none",
  });
}
