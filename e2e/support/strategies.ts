import { fileURLToPath } from "node:url";
import { type Program, compile, type RematPolicy } from "@lapidary/compiler";
import { type ModelConfig, buildModel } from "@lapidary/models";
import { makeMesh } from "@lapidary/topology";
import { resolveJob, trainStep, zeroOptions } from "@lapidary/training";

/** Rules, ZeRO stage and mesh of a strategy, as in a job file. */
export interface Strategy {
  readonly mesh: Readonly<Record<string, number>>;
  readonly rules: Readonly<Record<string, string | readonly string[] | null>>;
  readonly zero: 0 | 1 | 2 | 3;
  readonly zeroAxes?: readonly string[];
}

const configsDir = fileURLToPath(new URL("../../../configs", import.meta.url));

/** A strategy of `configs/strategies` on a mesh, as a job resolves it. */
function strategyOf(name: string, mesh: Readonly<Record<string, number>>): Strategy {
  const chips = Object.values(mesh).reduce((a, b) => a * b, 1);
  const pods = mesh["pod"] ?? 1;
  const text = JSON.stringify({
    model: "nano16",
    pod: "v5e-256",
    pods,
    slice: `${chips / pods / 16}x16`,
    mesh,
    strategy: name,
    train: { steps: 1, batch: 256, optimizer: { name: "adamw", lr: 0.001 } },
  });
  const job = resolveJob({ text, file: `${name}.yaml`, base: configsDir }, [], { configsDir, base: configsDir });
  return { mesh, rules: job.rules, zero: job.zero, zeroAxes: zeroOptions(job).axes };
}

/** Common strategies on 256 chips. */
export const strategies = {
  data: strategyOf("data", { data: 256 }),
  "zero-1": strategyOf("zero-1", { data: 256 }),
  "zero-2": strategyOf("zero-2", { data: 256 }),
  "zero-3": strategyOf("zero-3", { data: 256 }),
  tensor: strategyOf("tensor", { data: 16, model: 16 }),
  "tensor + zero-3": strategyOf("tensor-zero-3", { data: 16, model: 16 }),
  "tensor + sequence": strategyOf("tensor-sequence", { data: 16, model: 16 }),
  "two-dimensional weights": strategyOf("two-dimensional", { data: 16, model: 16 }),
  "multi-pod": strategyOf("tensor-zero-3", { pod: 2, data: 8, model: 16 }),
} as const;

export const nano16: ModelConfig = {
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
export const gemma7b: ModelConfig = {
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
export const gemma2b: ModelConfig = {
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
  config: ModelConfig,
  strategy: Strategy,
  shape: { batch: number; seq: number },
  options: { clip?: number; remat?: RematPolicy; bucketBytes?: number } = {},
): Program {
  const update = {
    steps: 100,
    optimizer: { name: "adamw", lr: 1e-3, betas: [0.9, 0.95] as [number, number], eps: 1e-8, weight_decay: 0.1 },
    schedule: { name: "constant", warmup: 0 },
    clip: options.clip,
  } as const;
  const graph = trainStep(buildModel(config), update, shape);
  return compile(graph, {
    mesh: makeMesh(strategy.mesh),
    rules: strategy.rules,
    zero: { stage: strategy.zero, axes: strategy.zeroAxes ?? Object.keys(strategy.mesh).filter((axis) => axis === "data") },
    remat: options.remat ?? "none",
    bucketBytes: options.bucketBytes ?? 0,
  });
}
