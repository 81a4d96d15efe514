import { ok, strictEqual, throws } from "node:assert/strict";
import { compile, lower, type Program, summarizeCollectives } from "@lapidary/compiler";
import { runChips, runHosts } from "@lapidary/compiler/testing";
import { interpret, sizeOf, verifyGraph } from "@lapidary/ir";
import { buildModel, modelConfigSchema, type Model } from "@lapidary/models";
import { ensure, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid, meshSize, printMesh } from "@lapidary/topology";
import fc from "fast-check";
import { defaultRules } from "../job/default-rules.js";
import { compileOptions } from "../job/resolved-job.js";
import { chunksOf, config, expectSame, model, randomCase, randomInputs, update } from "../testing/step-cases.js";
import { evalStep } from "./eval-step.js";
import { trainStep } from "./train-step.js";

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

  it("losses, logits, gradients and next states of random meshes are those of the whole loss", function () {
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
      const pieces = evalStep(model, shape, { chunks });
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
