import assert from "node:assert/strict";
import { GraphBuilder, type Value, tensorType } from "@lapidary/ir";
import { type ArrayData, workerRank } from "@lapidary/protocol";
import { ensure, systemClock } from "@lapidary/std";
import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import { type Device, openDevice } from "../device/device.js";
import { type Executor, type Held, disposeHeld } from "./executor.js";
import { stackedExecutor, type StackedProgram } from "./stacked.js";
import { loadPlan } from "./testing.js";

const [rows, positions, width] = [2, 4, 3];
const cacheType = tensorType("f32", [rows, positions, width]);
const freshType = tensorType("f32", [rows, 1, width]);

/** A cache that gets one position, as in decode. `more` adds outputs. */
function cacheProgram(more: (g: GraphBuilder, updated: Value, cache: Value) => void = () => undefined): GraphBuilder {
  const g = new GraphBuilder("decode");
  const cache = g.parameter("cache", cacheType);
  const position = g.parameter("position", tensorType("i32", []));
  const updated = g.dynamicUpdateSlice(cache, g.parameter("fresh", freshType), position, 1);
  g.output("cache", updated);
  more(g, updated, cache);
  return g;
}

describe("a program that updates an array in place", () => {
  let device: Device;
  let executor: Executor;
  before(async () => {
    device = await openDevice();
    const mesh = makeMesh({});
    executor = stackedExecutor({
      device,
      mesh,
      grid: makeWorkerGrid(mesh, 1),
      worker: workerRank(0),
      peers: undefined,
      numerics: "f32",
      clock: systemClock,
    });
  });

  const put = (program: StackedProgram, name: string, data: Float32Array | Int32Array): Held => {
    const tensor = ensure(
      program.tensors.parameters.find(({ id }) => id === name),
      name,
    );
    return executor.put(tensor, { dtype: tensor.dtype, dims: tensor.dims, data } as ArrayData);
  };
  const read = (program: StackedProgram, held: Held, output = 0): number[] => [
    ...executor.fetch(held, ensure(program.tensors.outputs[output], "output")).data,
  ];
  const zeros = (): Float32Array => new Float32Array(rows * positions * width);
  const ones = (value: number): Float32Array => new Float32Array(rows * width).fill(value);

  /** Writes `value` at a position. @returns the outputs */
  const step = (program: StackedProgram, cache: Held, position: number, value: number, donateCache = true): Promise<Held[]> => {
    const inputs = { cache, position: put(program, "position", Int32Array.of(position)), fresh: put(program, "fresh", ones(value)) };
    const names = program.tensors.parameters.map(({ id }) => id as keyof typeof inputs);
    return program.run(
      names.map((name) => inputs[name]),
      names.map((name) => name !== "cache" || donateCache),
      "step",
    );
  };

  /** The cache after `values[p]` was written at position p. */
  const expected = (values: readonly number[]): number[] =>
    Array.from({ length: rows * positions * width }, (_, i) => values[Math.floor(i / width) % positions] ?? 0);

  /**
   * Whether a run wrote to the memory of its donated operand. A view of the operand shows it, because TensorFlow shares the memory of views.
   */
  async function overwrites(program: StackedProgram, cache: Held): Promise<{ overwritten: boolean; outputs: Held[] }> {
    const view = device.native?.bind("Identity", [device.native.type("T", "f32")])([...cache]);
    const before = [...ensure(view, "view").dataSync()];
    const outputs = await step(program, cache, 3, 77);
    const after = [...ensure(view, "view").dataSync()];
    view?.dispose();
    return { overwritten: before.some((x, i) => x !== after[i]), outputs };
  }

  it("overwrites its donated result of an earlier run, and computes the numbers of a copy", async () => {
    const program = loadPlan(device, cacheProgram().finish());
    let [cache] = await step(program, put(program, "cache", zeros()), 0, 1);
    [cache] = await step(program, ensure(cache, "cache"), 1, 2);
    const { overwritten, outputs } = await overwrites(program, ensure(cache, "cache"));
    assert.equal(overwritten, device.fused !== undefined);
    assert.deepEqual(read(program, ensure(outputs[0], "cache")), expected([1, 2, 0, 77]));
    outputs.forEach(disposeHeld);
    program.dispose();
  });

  it("copies an operand that the caller uploaded, because the caller may share its memory", async () => {
    const program = loadPlan(device, cacheProgram().finish());
    const { overwritten, outputs } = await overwrites(program, put(program, "cache", zeros()));
    assert.equal(overwritten, false);
    outputs.forEach(disposeHeld);
    program.dispose();
  });

  it("does not change an operand that the caller keeps", async () => {
    const program = loadPlan(device, cacheProgram().finish());
    const [kept] = await step(program, put(program, "cache", zeros()), 0, 5);
    const [next] = await step(program, ensure(kept, "cache"), 1, 6, false);
    assert.deepEqual(read(program, ensure(kept, "cache")), expected([5]));
    assert.deepEqual(read(program, ensure(next, "cache")), expected([5, 6]));
    for (const held of [kept, next]) disposeHeld(ensure(held, "cache"));
    program.dispose();
  });

  it("does not change an array that was fetched before", async () => {
    const program = loadPlan(device, cacheProgram().finish());
    const [cache] = await step(program, put(program, "cache", zeros()), 0, 5);
    const fetched = executor.fetch(ensure(cache, "cache"), ensure(program.tensors.outputs[0], "output")).data;
    const outputs = await step(program, ensure(cache, "cache"), 0, 9);
    assert.deepEqual([...fetched], expected([5]));
    outputs.forEach(disposeHeld);
    program.dispose();
  });

  for (const [what, view] of [
    ["a reshaped view of it", (g: GraphBuilder, updated: Value) => g.reshape(updated, [rows * positions, width])],
    ["the same array", (_g: GraphBuilder, updated: Value) => updated],
  ] as const)
    it(`never overwrites an output if another output is ${what}`, async () => {
      const program = loadPlan(device, cacheProgram((g, updated) => g.output("view", view(g, updated))).finish());
      const first = await step(program, put(program, "cache", zeros()), 0, 1);
      const [cache, other] = [ensure(first[0], "cache"), ensure(first[1], "view")];
      const outputs = await step(program, cache, 0, 9);
      assert.deepEqual(read(program, other, 1), expected([1]));
      assert.deepEqual(read(program, ensure(outputs[0], "cache")), expected([9]));
      for (const held of [other, ...outputs]) disposeHeld(held);
      program.dispose();
    });

  it("copies a donated operand that the program reads again", async () => {
    const program = loadPlan(device, cacheProgram((g, _updated, cache) => g.output("before", g.scale(cache, 1))).finish());
    const first = await step(program, put(program, "cache", zeros()), 0, 1);
    disposeHeld(ensure(first[1], "before"));
    const outputs = await step(program, ensure(first[0], "cache"), 0, 9);
    assert.deepEqual(read(program, ensure(outputs[1], "before"), 1), expected([1]));
    assert.deepEqual(read(program, ensure(outputs[0], "cache")), expected([9]));
    outputs.forEach(disposeHeld);
    program.dispose();
  });
});
