import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { compile, gradients } from "@lapidary/compiler";
import { randomCase, roundingOf, withGradients, worstRounding } from "@lapidary/compiler/testing";
import type { Peers } from "@lapidary/fabric";
import { memoryPeers } from "@lapidary/fabric/testing";
import { type Graph, GraphBuilder, interpret, sizeOf, type Tensor, tensorType } from "@lapidary/ir";
import { ensure, seededRandom, systemClock } from "@lapidary/std";
import { type Mesh, makeMesh, makeWorkerGrid } from "@lapidary/topology";
import fc from "fast-check";
import { arrayLayout, arrayOf, blockOf, ranksOf, takeBlock, wholeFromBlocks, workerRank } from "@lapidary/protocol";
import { type Device, openDevice } from "../device/device.js";
import { scaledDifference, toArrayData, toTensor } from "../kernels/testing.js";
import { chipwiseExecutor } from "./chipwise.js";
import { disposeHeld, type Executable, type Executor, type Held } from "./executor.js";
import { type StackedProgram, stackedExecutor } from "./stacked.js";

const whole = makeWorkerGrid;

/** Runs a program on all workers of a grid, each with its own executor, and joins the outputs. */
async function runOn(
  executors: readonly Executor[],
  mesh: Mesh,
  chip: Graph,
  inputs: ReadonlyMap<string, Tensor>,
  runs = 1,
): Promise<Map<string, Tensor>> {
  const group = { mesh, grid: whole(mesh, executors.length) };
  const loaded: Executable[] = executors.map((executor) => executor.load(executor.prepare(chip)));
  const held: Held[][] = executors.map((executor, worker) =>
    ensure(loaded[worker], "program").tensors.parameters.map((tensor) =>
      executor.put(
        tensor,
        takeBlock(toArrayData(ensure(inputs.get(tensor.id), tensor.id)), blockOf(arrayLayout(group, tensor), workerRank(worker))),
      ),
    ),
  );
  let outputs: Held[][] = [];
  const once = randomUUID();
  for (let run = 0; run < runs; run++) {
    for (const values of outputs.flat()) disposeHeld(values);
    outputs = await Promise.all(
      loaded.map((program, worker) =>
        program.run(
          ensure(held[worker], "inputs"),
          program.tensors.parameters.map(() => run === runs - 1),
          `${once}/${run}`,
        ),
      ),
    );
  }
  const first = ensure(loaded[0], "program");
  const results = new Map(
    first.tensors.outputs.map((tensor, i): [string, Tensor] => [
      tensor.id,
      toTensor(
        wholeFromBlocks(tensor.dtype, arrayLayout(group, tensor), (worker) =>
          ensure(executors[worker], "executor").fetch(ensure(outputs[worker]?.[i], tensor.id), tensor),
        ),
      ),
    ]),
  );
  for (const values of outputs.flat()) disposeHeld(values);
  for (const program of loaded) program.dispose();
  return results;
}

function expectSame(actual: ReadonlyMap<string, Tensor>, expected: ReadonlyMap<string, Tensor>, what: string): void {
  for (const [name, want] of expected) {
    const d = scaledDifference(ensure(actual.get(name), name), want);
    assert.ok(d < 2e-4, `${what}: ${name} differs by ${d}`);
  }
}

/** Number of cases of a property. The nightly test draws more. */
const propertyRuns = Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 60);

describe("executors", () => {
  let device: Device;
  const peersBySize = new Map<number, Peers[]>();
  before(async () => {
    device = await openDevice();
    for (const size of [2, 3, 4, 5, 6]) peersBySize.set(size, await memoryPeers(size));
  });
  after(() => Promise.all([...peersBySize.values()].flat().map((peers) => peers.close())));

  const stacked = (mesh: Mesh, workers: number): Executor[] => {
    const grid = whole(mesh, workers);
    return ranksOf(grid.workers).map((worker) =>
      stackedExecutor({ device, mesh, grid, worker, peers: peersBySize.get(grid.workers)?.[worker], numerics: "f32", clock: systemClock }),
    );
  };

  it("both executors compute the values of the interpreter, for random steps, meshes and numbers of workers", async function () {
    this.timeout(0);
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (seed) => {
        const { graph, mesh, shardings, inputs } = randomCase(seed);
        const step = withGradients(graph);
        const { chip } = compile(step, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
        const rounding = roundingOf(step, inputs);
        fc.pre(rounding.undecided === undefined);
        const check = async (executors: readonly Executor[], what: string, runs = 1): Promise<void> => {
          const { output, element, ratio } = worstRounding(await runOn(executors, mesh, chip, inputs, runs), rounding);
          assert.ok(ratio <= 1, `seed ${seed}, ${what}: ${output}[${element}] is off by ${ratio} bounds`);
          compared++;
        };
        const tensors = device.tf.memory().numTensors;
        await check(stacked(mesh, 1), "stacked", 2);
        const workers = whole(mesh, 2 + seededRandom(seed).integer(5)).workers;
        if (workers > 1) await check(stacked(mesh, workers), `${workers} workers`);
        else compared++;
        await check([chipwiseExecutor(device, mesh, "f32", systemClock)], "chipwise");
        assert.equal(device.tf.memory().numTensors, tensors, `seed ${seed} disposes all its tensors`);
      }),
      { numRuns: propertyRuns },
    );
    assert.ok(compared >= 3 * propertyRuns, `${compared} comparisons in ${propertyRuns} cases, three for each`);
  });

  it("a fused kernel splits long rows at any position, also across dims that the length does not divide", async () => {
    const g = new GraphBuilder("odd_dims");
    const x = g.parameter("x", tensorType("f32", [4, 16, 384]));
    const perRow = g.broadcastInDim(g.parameter("r", tensorType("f32", [4])), x.type.dims, [0]);
    g.output("y", g.tanh(g.add(g.multiply(x, perRow), g.square(x))));
    const mesh = makeMesh({ data: 1 });
    const graph = g.finish();
    const { chip } = compile(graph, { mesh, rules: {}, zero: { stage: 0, axes: [] } });
    const numbers = (dims: readonly number[]): Tensor => ({
      dtype: "f32",
      dims,
      data: Float64Array.from({ length: sizeOf(dims) }, (_, i) => Math.sin(i)),
    });
    const inputs = new Map([
      ["x", numbers([4, 16, 384])],
      ["r", numbers([4])],
    ]);
    expectSame(await runOn(stacked(mesh, 1), mesh, chip, inputs), interpret(graph, inputs), "dims 16·384 cut by 1024");
  });

  it("the stacked executor calls as many kernels for 256 chips as for 4", async () => {
    const calls: number[] = [];
    for (const side of [2, 4, 16]) {
      const mesh = makeMesh({ data: side, model: side });
      const { chip } = compile(feedForwardStep(), { mesh, rules: { batch: "data", hidden: "model" }, zero: { stage: 3, axes: ["data"] } });
      const [executor] = stacked(mesh, 1);
      const first = ensure(executor, "executor");
      const program = first.load(first.prepare(chip)) as StackedProgram;
      const held = program.tensors.parameters.map((tensor) =>
        ensure(executor, "executor").put(tensor, arrayOf("f32", tensor.dims, new Float32Array(sizeOf(tensor.dims)).fill(0.5))),
      );
      const before = device.kernelCalls;
      const outputs = await program.run(
        held,
        held.map(() => true),
        "run",
      );
      calls.push(device.kernelCalls - before);
      for (const output of outputs) disposeHeld(output);
      program.dispose();
    }
    const [first, ...others] = calls;
    assert.ok(first !== undefined && first > 0);
    assert.deepEqual(others, [first, first]);
  });
});

/** A step of gradient descent for two weights with tanh between them. */
function feedForwardStep(): Graph {
  const g = new GraphBuilder("step");
  const x = g.parameter("x", tensorType("f32", [32, 16]), ["batch", "embed"], "batch");
  const up = g.parameter("up", tensorType("f32", [16, 64]), ["embed", "hidden"], "param");
  const down = g.parameter("down", tensorType("f32", [64, 16]), ["hidden", "embed"], "param");
  const y = g.dotGeneral(g.tanh(g.dotGeneral(x, up, [], [[1, 0]])), down, [], [[1, 0]]);
  const loss = g.reduce(g.square(g.subtract(y, x)), [0, 1], "sum");
  const [gradUp, gradDown] = gradients(g, loss, [up, down]);
  g.output("up", g.subtract(up, g.scale(ensure(gradUp, "gradient"), 0.1)));
  g.output("down", g.subtract(down, g.scale(ensure(gradDown, "gradient"), 0.1)));
  g.output("loss", loss);
  return g.finish();
}
