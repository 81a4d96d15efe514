import { ok, strictEqual } from "node:assert/strict";
import { type Graph, parametersOf, sizeOf, type Tensor, tensor } from "@lapidary/ir";
import { buildModel, modelConfigSchema } from "@lapidary/models";
import { ensure, type Random, seededRandom } from "@lapidary/std";
import { makeMesh, type Mesh } from "@lapidary/topology";
import { defaultRules } from "../job/default-rules.js";
import { seqParts } from "../job/loss-chunks.js";
import type { UpdateConfig } from "../optimizer/optimizer-config.js";
import type { LossChunks } from "../step/token-loss.js";

/** A small model on random meshes, for tests that compare two forms of a step. */

export const update: UpdateConfig = {
  steps: 3,
  optimizer: { name: "adamw", lr: 0.01, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1 },
  schedule: { name: "constant", warmup: 0 },
  clip: 1,
};
const vocabSize = 24;
export const config = { vocabSize, modelDim: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, mlpDim: 12, contextLength: 24 };
export const model = buildModel(modelConfigSchema.parse(config));

/** Random values for the parameters of a step. Rows count unequal numbers of targets. */
export function randomInputs(graph: Graph, random: Random): Map<string, Tensor> {
  const value = (name: string): number => {
    if (name === "tokens" || name === "targets") return random.integer(vocabSize);
    if (name === "step") return 2;
    if (name === "mask") return random.integer(3) === 0 ? 0 : 1;
    const x = random.next() - 0.5;
    return name.startsWith("adam_v/") ? Math.abs(x) : x;
  };
  return new Map(
    parametersOf(graph).map(({ attrs: { name }, type: { dtype, dims } }) => [
      name,
      tensor(
        dtype,
        dims,
        Float64Array.from({ length: sizeOf(dims) }, () => value(name)),
      ),
    ]),
  );
}

export function expectSame(actual: ReadonlyMap<string, Tensor>, expected: ReadonlyMap<string, Tensor>, what: string): void {
  strictEqual([...actual.keys()].sort().join(), [...expected.keys()].sort().join(), what);
  for (const [name, { data, dims }] of expected) {
    const got = ensure(actual.get(name), name);
    strictEqual(got.dims.join(), dims.join(), `${what}: dims of ${name}`);
    data.forEach((x, i) =>
      ok(Math.abs((got.data[i] ?? Number.NaN) - x) <= 1e-7 * Math.max(1, Math.abs(x)), `${what}: ${name}[${i}] is ${got.data[i]} for ${x}`),
    );
  }
}

export interface DrawnCase {
  readonly mesh: Mesh;
  readonly rules: Record<string, readonly string[]>;
  readonly zero: 0 | 1 | 2 | 3;
  readonly remat: "none" | "full";
  readonly batch: number;
  readonly seq: number;
  readonly count: number;
  readonly random: Random;
}

/** A mesh with rules that split the vocabulary, the sequence between matmuls, the whole sequence, or none of them. */
export function randomCase(seed: number): DrawnCase {
  const random = seededRandom(seed);
  const pick = <T>(choices: readonly T[]): T => ensure(choices[random.integer(choices.length)], "choice");
  const [pod, data] = [pick([1, 1, 2]), pick([1, 2, 3])];
  const mesh = makeMesh({ pod, data, model: pick([1, 2, 3, 4].filter((size) => size * pod * data <= 16)) });
  const split = pick(["vocab", "vocab and activation_seq", "activation_seq", "seq"] as const);
  const own =
    split === "vocab"
      ? {}
      : split === "vocab and activation_seq"
        ? { activation_seq: ["model"] }
        : split === "activation_seq"
          ? { activation_seq: ["model"], vocab: [] }
          : { seq: ["model"], activation_seq: ["model"], vocab: [], heads: [], kv_heads: [], mlp: [] };
  return {
    mesh,
    rules: { ...defaultRules(mesh, model.params), ...own },
    zero: pick([0, 1, 2, 3]),
    remat: pick(["none", "full"]),
    batch: pod * data * pick([1, 2]),
    seq: 12,
    count: pick([2, 3, 5, 6]),
    random,
  };
}

/** The pieces of a case; fewer if a part of the sequence is short. */
export function chunksOf({ mesh, rules, seq, count }: Pick<DrawnCase, "mesh" | "rules" | "seq" | "count">): LossChunks {
  const parts = seqParts({ mesh: mesh.axes, rules });
  return { count: Math.min(count, seq / parts), seqParts: parts };
}
