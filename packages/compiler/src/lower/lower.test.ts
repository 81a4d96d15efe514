import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { makeMesh, makeWorkerGrid, workerCoordinate } from "@lapidary/topology";
import { parseGraph, printType } from "@lapidary/ir";
import type { HostProgram } from "../program.js";
import { blockPositions, lower } from "./lower.js";

const program = (lines: string, mesh = "data=4 model=2"): string => `graph p chip mesh ${mesh}\n${lines}`;

/** `x` [8, 8] split over both axes, gathered, reduced, moved and sliced. */
const text = program(`%0 = parameter name="x" : f32[2,4] [data, model] @x
%1 = all_gather %0 dimension=0 axes=["data"] size=4 : f32[8,4] [-, model] @x
%2 = all_gather %0 dimension=1 axes=["model"] size=2 : f32[2,8] [data, -] @x
%3 = reduce %0 dims=[0] kind="sum" : f32[4] [model] unreduced data @y
%4 = all_reduce %3 axes=["data"] size=4 kind="sum" : f32[4] [model] @y
%5 = reduce_scatter %3 dimension=0 axes=["data"] size=4 kind="sum" : f32[1] [model+data] @y
%6 = all_to_all %0 splitDimension=1 concatDimension=0 axes=["data"] size=4 : f32[8,1] [-, model+data] @x
%7 = shard_slice %4 dimension=0 axes=["data"] size=4 : f32[1] [model+data] @y
%8 = exponential %2 : f32[2,8] [data, -] @e
return e=%8 y=%5`);

const lowered = (workers: number, source = text): HostProgram => {
  const chip = parseGraph(source);
  return lower(chip, makeWorkerGrid(chip.mesh ?? makeMesh({}), workers));
};
const lines = ({ graph }: HostProgram): string[] =>
  graph.values.map(({ op, inputs, type }) => `${op} ${inputs.join()}: ${printType(type)}`);

describe("lower", () => {
  it("one worker computes on whole arrays, and every collective is removed", () => {
    const host = lowered(1);
    deepStrictEqual(lines(host), ["parameter : f32[8,8]", "reduce 0: f32[8]", "exponential 0: f32[8,8]"]);
    deepStrictEqual(host.graph.outputs, [
      { name: "e", value: 2 },
      { name: "y", value: 1 },
    ]);
    strictEqual(host.collectives.size, 0);
    deepStrictEqual([host.name, host.graph.level, host.grid.workers], ["p", "host", 1]);
  });

  it("a collective over worker axes is kept, with the sizes of the factors inside and outside of the block", () => {
    // Two workers: data:(1)2 is the worker number, and data:(2)2 and model are inside the block.
    const host = lowered(2);
    deepStrictEqual(lines(host), [
      "parameter : f32[4,8]",
      "all_gather 0: f32[8,8]",
      "reduce 0: f32[8]",
      "all_reduce 2: f32[8]",
      "reduce_scatter 2: f32[4]",
      "all_to_all 0: f32[8,4]",
      "shard_slice 3: f32[4]",
      "exponential 0: f32[4,8]",
    ]);
    const [worker, inside] = [{ size: 2, worker: true }, (size: number) => ({ size, worker: false })];
    deepStrictEqual(Object.fromEntries(host.collectives), {
      1: { atoms: [0], gather: { dimension: 0, factors: [worker, inside(4)] } },
      3: { atoms: [0] },
      4: { atoms: [0], split: { dimension: 0, factors: [inside(2), worker, inside(2)] } },
      5: {
        atoms: [0],
        split: { dimension: 1, factors: [inside(2), worker, inside(2)] },
        gather: { dimension: 0, factors: [worker, inside(4)] },
      },
      6: { atoms: [0], split: { dimension: 0, factors: [inside(2), worker, inside(2)] } },
    });
  });

  it("collectives over an axis inside the block are removed, although other axes are those of workers", () => {
    const host = lowered(8);
    // One chip for each worker: all collectives are kept.
    deepStrictEqual(
      host.graph.values.map(({ op }) => op),
      ["parameter", "all_gather", "all_gather", "reduce", "all_reduce", "reduce_scatter", "all_to_all", "shard_slice", "exponential"],
    );
    deepStrictEqual(host.collectives.get(2), {
      atoms: [2],
      gather: {
        dimension: 1,
        factors: [
          { size: 2, worker: true },
          { size: 4, worker: false },
        ],
      },
    });
    deepStrictEqual(host.collectives.get(6), {
      atoms: [0, 1],
      split: {
        dimension: 1,
        factors: [
          { size: 2, worker: true },
          { size: 2, worker: true },
          { size: 1, worker: false },
        ],
      },
      gather: {
        dimension: 0,
        factors: [
          { size: 2, worker: true },
          { size: 2, worker: true },
          { size: 2, worker: false },
        ],
      },
    });
    deepStrictEqual(
      lowered(4).graph.values.map(({ op }) => op),
      ["parameter", "all_gather", "reduce", "all_reduce", "reduce_scatter", "all_to_all", "shard_slice", "exponential"],
    );
  });

  it("the attributes of a local op are those of the block", () => {
    const source = program(
      `%0 = parameter name="x" : f32[2,4] [data, -] @x
%1 = slice %0 start=[0,1] limit=[2,3] : f32[2,2] [data, -] @s
%2 = constant value=0 dims=[2,2] dtype="f32" : f32[2,2] [data, -] @c
return s=%1 c=%2`,
    );
    deepStrictEqual(
      lowered(2, source).graph.values.map(({ attrs }) => attrs),
      [{ name: "x" }, { start: [0, 1], limit: [4, 3] }, { value: 0, dims: [4, 2], dtype: "f32" }],
    );
  });

  it("only programs of chips are lowered", () => {
    throws(() => lowered(1, text.replace("p chip", "p host")), /per-chip program/);
  });
});

describe("positions of a worker's block", () => {
  const mesh = makeMesh({ data: 4, model: 2 });
  const positions = (workers: number, worker: number, size: number, atoms: readonly number[]): number[] => {
    const grid = makeWorkerGrid(mesh, workers);
    return [...blockPositions(mesh, grid, size, atoms, (id) => workerCoordinate(mesh, grid, worker, id))];
  };

  it("a dim that no worker axis splits is whole, and a worker axis keeps one part", () => {
    deepStrictEqual(positions(1, 0, 8, [0, 1]), [0, 1, 2, 3, 4, 5, 6, 7]);
    deepStrictEqual(positions(2, 1, 8, []), [0, 1, 2, 3, 4, 5, 6, 7]);
    deepStrictEqual(positions(2, 1, 8, [0, 1]), [4, 5, 6, 7]);
    deepStrictEqual(positions(4, 2, 8, [0, 1]), [4, 5]);
  });

  it("a worker axis that is minor on a dim keeps one part of each major part", () => {
    deepStrictEqual(positions(2, 0, 8, [2, 0]), [0, 1, 4, 5]);
    deepStrictEqual(positions(2, 1, 8, [2, 0]), [2, 3, 6, 7]);
    deepStrictEqual(positions(2, 1, 16, [2, 0, 1]), [4, 5, 6, 7, 12, 13, 14, 15]);
  });
});
