import { deepStrictEqual, ok, throws } from "node:assert/strict";
import { compile, type GradientSums, lower, type Program, summarizeCollectives } from "@lapidary/compiler";
import { runChips, runHosts } from "@lapidary/compiler/testing";
import { type Graph, interpret, parseGraph, printGraph, regionsOf, runsOf, type Tensor, verifyGraph } from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid, printMesh } from "@lapidary/topology";
import fc from "fast-check";
import { defaultRules } from "../job/default-rules.js";
import { compileOptions } from "../job/resolved-job.js";
import { chunksOf, expectSame, model, randomCase, randomInputs, update } from "../testing/step-cases.js";
import { evalStep } from "./eval-step.js";
import { trainStep } from "./train-step.js";

const checked = { withGradients: true, withLogits: true };

/** Compares a step with microbatches on a random mesh with the step of the whole batch. Rows count unequal numbers of targets. */
function checkCase(seed: number): void {
  const drawn = randomCase(seed);
  const { mesh, rules, zero, remat, seq, random } = drawn;
  const count = 2 + random.integer(3);
  const shape = { batch: drawn.batch * count, seq };
  const chunks = random.integer(2) === 0 ? undefined : chunksOf(drawn);
  const gradientSums = ([undefined, "whole", "scattered"] as const)[random.integer(3)];
  const whole = trainStep(model, update, shape, checked);
  const parts = trainStep(model, update, shape, { ...checked, chunks, microbatches: count });
  const inputs = randomInputs(whole, random);
  const expected = interpret(whole, inputs);
  const what = `seed ${seed}, ${count} microbatches, ${printMesh(mesh)}, ZeRO ${zero}, ${gradientSums}`;
  verifyGraph(parts);
  expectSame(interpret(parts, inputs), expected, what);
  const options = compileOptions({ mesh: mesh.axes, rules, zero, remat }, parts);
  const { chip } = compile(parts, {
    ...options,
    bucketBytes: seed % 2 === 0 ? 0 : 1024,
    ...(gradientSums === undefined ? {} : { gradientSums }),
  });
  deepStrictEqual(parseGraph(printGraph(chip)).values.length, chip.values.length);
  expectSame(runChips(chip, inputs), expected, `${what}, per chip`);
  const grid = makeWorkerGrid(mesh, 1 + random.integer(4));
  expectSame(runHosts(lower(chip, grid), inputs), expected, `${what}, ${grid.workers} workers`);
}

function program(count: number, zero: 0 | 1 | 2 | 3, gradientSums?: GradientSums): Program {
  const mesh = makeMesh({ data: 4, model: 2 });
  const graph = trainStep(model, update, { batch: 16, seq: 12 }, { microbatches: count });
  const options = compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, model.params), zero, remat: "none" }, graph);
  return compile(graph, { ...options, ...(gradientSums === undefined ? {} : { gradientSums }) });
}

/** Bytes of the results of reductions of gradients over data, in all iterations of the region and after it. */
function reductionBytes({ chip }: Program): { region: number; after: number } {
  const bytes = { region: 0, after: 0 };
  for (const value of chip.values) {
    if (value.op !== "reduce_scatter" && value.op !== "all_reduce") continue;
    if (value.role !== "gradient" && !value.name.startsWith("grad(params/") && value.name !== "gradient_sum") continue;
    if (value.attrs.axes[0] !== "data") continue;
    bytes[value.scope.region === undefined ? "after" : "region"] += runsOf(value) * value.type.dims.reduce((a, b) => a * b, 4);
  }
  return bytes;
}

describe("microbatches", () => {
  const runs = Math.max(6, Math.round(Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 200) / 40));

  it("losses, logits, gradients and next states of random meshes are those of the whole batch", function () {
    this.timeout(0);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => checkCase(seed)),
      { numRuns: runs },
    );
  });

  it("the loss of parts with unequal numbers of targets is not the mean of their losses", () => {
    const shape = { batch: 4, seq: 12 };
    const step = trainStep(model, update, shape, { microbatches: 2 });
    const inputs = randomInputs(step, seededRandom(3));
    const mask = ensure(inputs.get("mask"), "mask");
    // Part 1 has the rows 1 and 3.
    mask.data.forEach((_, i) => (mask.data[i] = Math.floor(i / 12) % 2 === 0 || i === 12 ? 1 : 0));
    const lossOf = (graph: Graph, given: ReadonlyMap<string, Tensor>): number =>
      ensure(interpret(graph, given).get("loss")?.data[0], "loss");
    const rows = (part: number): Map<string, Tensor> =>
      new Map(
        [...inputs].map(([name, x]) => {
          if (!["tokens", "targets", "mask"].includes(name)) return [name, x];
          const own = [part, part + 2].flatMap((row) => [...x.data.subarray(row * 12, (row + 1) * 12)]);
          return [name, { ...x, dims: [2, 12], data: Float64Array.from(own) }];
        }),
      );
    const half = trainStep(model, update, { batch: 2, seq: 12 });
    const mean = (lossOf(half, rows(0)) + lossOf(half, rows(1))) / 2;
    const weighted = (24 * lossOf(half, rows(0)) + lossOf(half, rows(1))) / 25;
    const loss = lossOf(step, inputs);
    ok(Math.abs(loss - weighted) < 1e-12, `${loss} is the weighted mean ${weighted}`);
    ok(Math.abs(loss - mean) > 1e-3, `${loss} is not the mean of means ${mean}`);
  });

  it("the step has one region with the forward and the backward pass, and one update after it", () => {
    const { chip } = program(4, 0);
    const [region, ...others] = regionsOf(chip);
    deepStrictEqual([region?.count, others.length], [4, 0]);
    const inside = chip.values.filter(({ scope }) => scope.region !== undefined);
    ok(inside.some(({ scope }) => scope.phase === "forward") && inside.some(({ scope }) => scope.phase === "backward"));
    ok(inside.every(({ scope }) => scope.phase !== "update"));
  });

  it("whole sums of gradients are reduced once after the region, scattered sums in every iteration", () => {
    for (const zero of [0, 1] as const) {
      const { region, after } = reductionBytes(program(4, zero));
      ok(region === 0 && after > 0, `ZeRO ${zero} reduces ${region} bytes in the region and ${after} after it`);
    }
    const scattered = reductionBytes(program(4, 2));
    ok(scattered.region > 0 && scattered.after < scattered.region, `${scattered.region} bytes in the region, ${scattered.after} after it`);
    const whole = reductionBytes(program(4, 2, "whole"));
    ok(whole.region === 0 && whole.after > 0);
  });

  it("over pods, scattered sums are reduced once after the region", () => {
    const mesh = makeMesh({ pod: 2, data: 2 });
    const graph = trainStep(model, update, { batch: 16, seq: 12 }, { microbatches: 4 });
    const { chip } = compile(graph, {
      ...compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, model.params), zero: 2, remat: "none" }, graph),
      zero: { stage: 2, axes: ["data"] },
    });
    const reduced = chip.values.filter(({ op, type }) => (op === "all_reduce" || op === "reduce_scatter") && type.dims.length > 1);
    const axesIn = (inside: boolean): string[] => [
      ...new Set(reduced.flatMap(({ attrs, scope }) => ((scope.region !== undefined) === inside && "axes" in attrs ? attrs.axes : []))),
    ];
    deepStrictEqual([axesIn(true), axesIn(false)], [["data"], ["pod"]]);
  });

  it("a chip stores its shard of scattered sums, and the activations of one part", () => {
    const peaks = ([2, "whole"] as const).map((form) => program(4, 2, form === 2 ? undefined : form).memory.peakByClass.gradients);
    ok(ensure(peaks[0], "scattered") < ensure(peaks[1], "whole"), `${peaks.join(" and ")} bytes of gradients`);
    const activations = [1, 2, 4].map((count) => program(count, 0).memory.peakByClass.activations);
    ok(ensure(activations[0], "1") > ensure(activations[1], "2") && ensure(activations[1], "2") > ensure(activations[2], "4"));
  });

  it("the collectives of the region count once for each iteration", () => {
    const gathers = (count: number): number =>
      summarizeCollectives(program(count, 3).chip).reduce((n, { op, count: own }) => (op === "all_gather" ? n + own : n), 0);
    const [once, twice] = [gathers(2), gathers(4)];
    ok(twice > 1.5 * once && once > 0, `${once} and ${twice} gathers`);
  });

  it("an evaluation in parts has the sums of the whole evaluation", () => {
    const shape = { batch: 6, seq: 12 };
    const whole = evalStep(model, shape);
    const inputs = randomInputs(whole, seededRandom(5));
    const parts = evalStep(model, shape, { microbatches: 3, chunks: { count: 2, seqParts: 1 } });
    verifyGraph(parts);
    expectSame(interpret(parts, inputs), interpret(whole, inputs), "3 parts");
  });

  it("a number of parts that does not divide the rows is refused", () => {
    throws(() => trainStep(model, update, { batch: 6, seq: 12 }, { microbatches: 4 }), /divides the rows/);
  });
});
