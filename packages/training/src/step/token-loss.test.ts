import { ok, strictEqual, throws } from "node:assert/strict";
import { compile, lower, type Program, summarizeCollectives } from "@lapidary/compiler";
import { runChips, runHosts } from "@lapidary/compiler/testing";
import { type Graph, interpret, parametersOf, sizeOf, type Tensor, tensor, verifyGraph } from "@lapidary/ir";
import { buildModel, modelConfigSchema, type Model } from "@lapidary/models";
import { ensure, type Random, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid, type Mesh, meshSize, printMesh } from "@lapidary/topology";
import fc from "fast-check";
import { defaultRules } from "../job/default-rules.js";
import { seqParts } from "../job/loss-chunks.js";
import { compileOptions } from "../job/resolved-job.js";
import type { UpdateConfig } from "../optimizer/optimizer-config.js";
import { evalStep } from "./eval-step.js";
import type { LossChunks } from "./token-loss.js";
import { trainStep } from "./train-step.js";

const update: UpdateConfig = {
  steps: 3,
  optimizer: { name: "adamw", lr: 0.01, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0.1 },
  schedule: { name: "constant", warmup: 0 },
  clip: 1,
};
const vocabSize = 24;
const config = { vocabSize, modelDim: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, mlpDim: 12, contextLength: 24 };
const model = buildModel(modelConfigSchema.parse(config));

/** Random values for the parameters of a step. Rows count unequal numbers of targets. */
function randomInputs(graph: Graph, random: Random): Map<string, Tensor> {
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

function expectSame(actual: ReadonlyMap<string, Tensor>, expected: ReadonlyMap<string, Tensor>, what: string): void {
  strictEqual([...actual.keys()].sort().join(), [...expected.keys()].sort().join(), what);
  for (const [name, { data, dims }] of expected) {
    const got = ensure(actual.get(name), name);
    strictEqual(got.dims.join(), dims.join(), `${what}: dims of ${name}`);
    data.forEach((x, i) =>
      ok(Math.abs((got.data[i] ?? Number.NaN) - x) <= 1e-7 * Math.max(1, Math.abs(x)), `${what}: ${name}[${i}] is ${got.data[i]} for ${x}`),
    );
  }
}

interface DrawnCase {
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
function randomCase(seed: number): DrawnCase {
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
function chunksOf({ mesh, rules, seq, count }: Pick<DrawnCase, "mesh" | "rules" | "seq" | "count">): LossChunks {
  const parts = seqParts({ mesh: mesh.axes, rules });
  return { count: Math.min(count, seq / parts), seqParts: parts };
}

function checkCase(seed: number): void {
  const drawn = randomCase(seed);
  const { mesh, rules, zero, remat, batch, seq, random } = drawn;
  const chunks = chunksOf(drawn);
  const options = { withGradients: true, withLogits: true };
  const whole = trainStep(model, update, { batch, seq }, options);
  const pieces = trainStep(model, update, { batch, seq }, { ...options, chunks });
  const inputs = randomInputs(whole, random);
  const expected = interpret(whole, inputs);
  const what = `seed ${seed}, ${chunks.count} pieces of ${chunks.seqParts} parts, ${printMesh(mesh)}, ZeRO ${zero}`;
  expectSame(interpret(pieces, inputs), expected, what);
  const { chip } = compile(pieces, compileOptions({ mesh: mesh.axes, rules, zero, remat }, pieces));
  expectSame(runChips(chip, inputs), expected, `${what}, per chip`);
  const grid = makeWorkerGrid(mesh, 1 + random.integer(4));
  expectSame(runHosts(lower(chip, grid), inputs), expected, `${what}, ${grid.workers} workers`);
}

/** A model whose logits are its largest arrays. */
const wide: Model = buildModel(modelConfigSchema.parse({ ...config, vocabSize: 960, contextLength: 64 }));

function wideStep(count: number, mesh: Record<string, number>, zero: 0 | 3): Program {
  const sizes = makeMesh(mesh);
  const rules = defaultRules(sizes, wide.params);
  const graph = trainStep(wide, update, { batch: 8, seq: 64 }, { chunks: { count, seqParts: 1 } });
  return compile(graph, compileOptions({ mesh: sizes.axes, rules, zero, remat: "full" }, graph));
}

describe("the loss in pieces", () => {
  const runs = Math.max(8, Math.round(Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 200) / 30));

  it(`losses, logits, gradients and next states of ${runs} random meshes are those of the whole loss`, function () {
    this.timeout(0);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => checkCase(seed)),
      { numRuns: runs },
    );
  });

  it("an evaluation in pieces has the sums of the whole evaluation", () => {
    const shape = { batch: 2, seq: 24 };
    const whole = evalStep(model, shape);
    const inputs = randomInputs(whole, seededRandom(5));
    for (const chunks of [
      { count: 5, seqParts: 1 },
      { count: 3, seqParts: 4 },
    ]) {
      const pieces = evalStep(model, shape, chunks);
      verifyGraph(pieces);
      expectSame(interpret(pieces, inputs), interpret(whole, inputs), `${chunks.count} pieces`);
    }
  });

  it("more pieces than tokens of a part are refused", () => {
    throws(() => trainStep(model, update, { batch: 2, seq: 24 }, { chunks: { count: 13, seqParts: 2 } }), /a piece has a position/);
  });

  for (const [mesh, zero] of [
    [{ data: 4 }, 0],
    [{ data: 4 }, 3],
    [{ data: 2, model: 2 }, 3],
  ] as const) {
    const name = `${printMesh(makeMesh(mesh))}, ZeRO ${zero}`;
    const programs = new Map([1, 2, 4, 8].map((count) => [count, wideStep(count, mesh, zero)]));
    const program = (count: number): Program => ensure(programs.get(count), "program");

    it(`the peak memory of a step falls with the number of pieces (${name})`, () => {
      const peaks = [1, 2, 4, 8].map((count) => program(count).memory.peakBytes);
      peaks.slice(1).forEach((peak, i) => ok(peak < ensure(peaks[i], "peak"), peaks.join(" ")));
      const logits = program(1).chip.values.find((value) => value.name === "logits");
      const saved = ensure(peaks[0], "whole") - ensure(peaks[3], "eighths");
      ok(saved >= 1.5 * 4 * sizeOf(ensure(logits, "logits").type.dims), `${saved} of ${peaks.join(" ")}`);
    });

    it(`pieces move as many bytes as the whole loss or fewer, and reduce each gradient once (${name})`, () => {
      const [whole, pieces] = [1, 8].map((count) => summarizeCollectives(program(count).chip)) as [
        ReturnType<typeof summarizeCollectives>,
        ReturnType<typeof summarizeCollectives>,
      ];
      strictEqual(meshSize(program(8).mesh), 4);
      for (const { op, axis, bytes_per_chip, count } of pieces) {
        const before = ensure(
          whole.find((other) => other.op === op && other.axis === axis),
          `${op} over ${axis}`,
        );
        ok(bytes_per_chip <= before.bytes_per_chip, `${op} over ${axis}: ${bytes_per_chip} bytes for ${before.bytes_per_chip}`);
        // A split vocabulary needs the maximum, the sum and the target's logit of each piece.
        ok(
          count <= before.count + (op === "all_reduce" && axis === "model" ? 3 * 7 : 0),
          `${op} over ${axis}: ${count} for ${before.count}`,
        );
      }
    });
  }
});
