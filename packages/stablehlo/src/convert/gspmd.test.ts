import { deepEqual, equal, match } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { checkExported, exportedValues } from "../testing/exported.js";
import { goldenText } from "../testing/golden.js";
import { type ImportedStep, importStep } from "./import-step.js";
import type { MeshAxis } from "./sharding.js";

const read = (path: string, axes: readonly MeshAxis[] = [], change = (text: string): string => text): ImportedStep =>
  importStep(change(goldenText(path)), path, undefined, axes);
const axesOf = (...sizes: readonly number[]): MeshAxis[] => sizes.map((size, i) => ({ name: ["a", "b", "c"][i] ?? "d", size }));
const failure = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof LapidaryError) return `${error.code}: ${error.message} ${error.remedy ?? ""}`;
    throw error;
  }
  return "none";
};
const stated = (step: ImportedStep): unknown => step.arguments.map(({ sharding }) => sharding?.dims.map(({ axes }) => axes));

/** A text with one argument of a sharding, on 8 devices. */
const text = (sharding: string): string =>
  `module @m attributes {mhlo.num_partitions = 8 : i32} {
  func.func public @main(%arg0: tensor<8x8xf32> {mhlo.sharding = "${sharding}"}) -> tensor<8x8xf32> {
    return %arg0 : tensor<8x8xf32>
  }
}
`;
const ofText = (sharding: string): ImportedStep => importStep(text(sharding), "t.mlir");

describe("shardings that number devices", () => {
  for (const [name, each] of Object.entries(exportedValues("devices")))
    it(`${name}: a shard_map region of JAX 0.4.35 computes what JAX computes on 8 devices`, () =>
      checkExported(`devices/${name}.mlir`, each));

  for (const version of ["0.4.35", "0.6.2"])
    it(`a step of JAX ${version} has the shardings that 0.10.2 states for the same step`, () => {
      const names = [
        { name: "data", size: 4 },
        { name: "model", size: 2 },
      ];
      const [old, now] = [read(`forms/jax-${version}.mlir`, names), read("forms/jax-0.10.2.mlir")];
      deepEqual(old.mesh, now.mesh);
      deepEqual(stated(old), stated(now));
    });

  it("the axes are the products at which shardings divide the devices, and a user names them", () => {
    deepEqual(read("forms/jax-0.6.2.mlir").mesh, [
      { name: "x0", size: 4 },
      { name: "x1", size: 2 },
    ]);
    const finer = importStep(text("{devices=[4,1,2]<=[8] last_tile_dim_replicate}"), "t.mlir", undefined, axesOf(2, 2, 2));
    deepEqual([finer.mesh, stated(finer)], [axesOf(2, 2, 2), [[["a", "b"], []]]]);
    match(
      failure(() => read("forms/jax-0.6.2.mlir", axesOf(2, 4))),
      /LAP_IMPORT_SHARDING: the shardings of the text are those of a mesh of 4 × 2 name its axes in this order, for example mesh\.x0=4 mesh\.x1=2/,
    );
  });

  it("a permutation splits dims over minor axes before major ones", () => {
    const step = ofText("{devices=[2,2,2]<=[2,2,2]T(2,0,1) last_tile_dim_replicate}");
    deepEqual(
      step.mesh?.map(({ size }) => size),
      [2, 2, 2],
    );
    deepEqual(stated(step), [[["x2"], ["x0"]]]);
    deepEqual(stated(ofText("{devices=[4,2]<=[2,4]T(1,0)}")), [[["x1"], ["x0"]]]);
    deepEqual(stated(ofText("{devices=[8,1]<=[8]}")), [[["x0"], []]]);
  });

  it("replicated values are closed, and values without a sharding are free", () => {
    const step = ofText("{replicated}");
    equal(step.mesh, undefined);
    const both = importStep(
      text("{devices=[8,1]<=[8]}").replace(
        "%arg0: ",
        '%arg1: tensor<4xf32> {mhlo.sharding = "{replicated}"}, %arg2: tensor<4xf32>, %arg0: ',
      ),
      "t.mlir",
    );
    deepEqual(stated(both), [[[]], undefined, [["x0"], []]]);
  });

  it("devices in another order, and shardings of several meshes, are refused", () => {
    match(
      failure(() => ofText("{devices=[2,4]0,2,1,3,4,5,6,7}")),
      /LAP_IMPORT_SHARDING: .*not that of a mesh in row-major order/,
    );
    match(
      failure(() => ofText("{devices=[3,1]<=[2,4]}")),
      /LAP_IMPORT_SHARDING/,
    );
    const several = text("{devices=[2,1,4]<=[8] last_tile_dim_replicate}")
      .replace("8 : i32", "12 : i32")
      .replace("%arg0: ", '%arg1: tensor<12xf32> {mhlo.sharding = "{devices=[3,4]<=[12] last_tile_dim_replicate}"}, %arg0: ');
    match(
      failure(() => importStep(several, "t.mlir")),
      /LAP_IMPORT_SHARDING: the shardings of the text are not those of one mesh/,
    );
  });
});
