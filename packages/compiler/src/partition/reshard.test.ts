import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { makeMesh } from "@lapidary/topology";
import { GraphBuilder, type OpAttrs, type Value, localDims, parseSharding, printSharding, tensorType } from "@lapidary/ir";
import { bytesPerChip, reshard } from "./reshard.js";

const mesh = makeMesh({ data: 4, model: 4, pod: 2 });

/** A value [16, 16, 16] in a sharding, moved to another. */
function moved(from: string, to: string, line?: string): readonly Value[] {
  const g = new GraphBuilder("move", "chip", mesh);
  const sharding = parseSharding(mesh, from);
  const whole = [16, 16, 16].slice(0, sharding.dims.length);
  const x = g.inBlock(3, () =>
    g.push("parameter", [], { name: "x" }, tensorType("f32", localDims(mesh, whole, sharding)), { name: "x", sharding, role: "gradient" }),
  );
  const made = reshard(g, mesh, x, parseSharding(mesh, to), { cause: "why", phase: "backward", region: { id: 2, count: 5 }, line });
  strictEqual(made, g.values.at(-1));
  return g.values.slice(1);
}

/** The collectives as `op dims axes/size: sharding`. */
const steps = (from: string, to: string): string[] =>
  moved(from, to).map((value) => {
    const attrs = value.attrs as Partial<OpAttrs["all_to_all"] & OpAttrs["reduce_scatter"]>;
    const dims = [attrs.dimension, attrs.splitDimension, attrs.concatDimension].filter((d) => d !== undefined);
    const kind = attrs.kind === undefined || attrs.kind === "sum" ? "" : ` ${attrs.kind}`;
    const sharding = value.sharding === undefined ? "?" : printSharding(mesh, value.sharding);
    return `${value.op}${kind} ${dims.join()} ${attrs.axes?.join("+")}/${attrs.size}: ${sharding}`;
  });

describe("reshard", () => {
  it("a value in the target sharding needs no collective", () => {
    deepStrictEqual(steps("[data, -] unreduced model", "[data, -] unreduced model"), []);
    deepStrictEqual(steps("[-, -]", "[-, -]"), []);
  });

  it("partial sums are scattered onto a dim that the target splits by the same axis, and reduced otherwise", () => {
    deepStrictEqual(steps("[-, -] unreduced model", "[-, model]"), ["reduce_scatter 1 model/4: [-, model]"]);
    deepStrictEqual(steps("[-, -] unreduced model", "[-, -]"), ["all_reduce  model/4: [-, -]"]);
    deepStrictEqual(steps("[data, -] unreduced model", "[data+model, -]"), ["reduce_scatter 0 model/4: [data+model, -]"]);
    deepStrictEqual(steps("[-, -] unreduced-max model", "[-, -]"), ["all_reduce max  model/4: [-, -]"]);
    deepStrictEqual(steps("[-, -] unreduced-min model", "[model, -]"), ["reduce_scatter min 0 model/4: [model, -]"]);
  });

  it("each of several axes of partial sums is scattered or reduced, and those that the target keeps stay", () => {
    deepStrictEqual(steps("[-, -] unreduced data+model", "[data, -]"), [
      "reduce_scatter 0 data/4: [data, -] unreduced model",
      "all_reduce  model/4: [data, -]",
    ]);
    deepStrictEqual(steps("[-, -] unreduced data+model", "[data, model]"), [
      "reduce_scatter 0 data/4: [data, -] unreduced model",
      "reduce_scatter 1 model/4: [data, model]",
    ]);
    deepStrictEqual(steps("[-, -] unreduced data+model", "[-, -] unreduced model"), ["all_reduce  data/4: [-, -] unreduced model"]);
    // Sub-axes that are next to each other in the mesh are one axis of one reduction.
    deepStrictEqual(steps("[-, -] unreduced data+model", "[-, -]"), ["all_reduce  data+model/16: [-, -]"]);
    deepStrictEqual(steps("[-, -] unreduced model", "[model:(1)2, -]"), [
      "reduce_scatter 0 model:(1)2/2: [model:(1)2, -] unreduced model:(2)2",
      "all_reduce  model:(2)2/2: [model:(1)2, -]",
    ]);
  });

  it("partial sums are not scattered onto a dim whose other axes differ from those of the target", () => {
    deepStrictEqual(steps("[pod, -] unreduced model", "[model, -]"), [
      "all_reduce  model/4: [pod, -]",
      ...["all_gather 0 pod/2: [-, -]", "shard_slice 0 model/4: [model, -]"],
    ]);
  });

  it("an axis moves from the end of one dim to the end of another by one all_to_all", () => {
    deepStrictEqual(steps("[model, -]", "[-, model]"), ["all_to_all 1,0 model/4: [-, model]"]);
    deepStrictEqual(steps("[-, data+model]", "[model, data]"), ["all_to_all 0,1 model/4: [model, data]"]);
    deepStrictEqual(steps("[pod+data, -, model]", "[pod, -, model+data]"), ["all_to_all 2,0 data/4: [pod, -, model+data]"]);
    deepStrictEqual(steps("[model, -] unreduced data", "[-, model] unreduced data"), ["all_to_all 1,0 model/4: [-, model] unreduced data"]);
  });

  it("an axis that is not at the end of a dim moves by a gather and a slice", () => {
    deepStrictEqual(steps("[data+model, -]", "[model, data]"), [
      "all_gather 0 data+model/16: [-, -]",
      ...["shard_slice 0 model/4: [model, -]", "shard_slice 1 data/4: [model, data]"],
    ]);
  });

  it("a free axis splits a dim without communication, before a gather makes the array larger", () => {
    deepStrictEqual(steps("[-, -]", "[data, model]"), ["shard_slice 0 data/4: [data, -]", "shard_slice 1 model/4: [data, model]"]);
    deepStrictEqual(steps("[data, -]", "[-, model]"), ["shard_slice 1 model/4: [data, model]", "all_gather 0 data/4: [-, model]"]);
    deepStrictEqual(steps("[-, -]", "[data:(1)2, -]"), ["shard_slice 0 data:(1)2/2: [data:(1)2, -]"]);
  });

  it("a gather removes the minor axes that the target lacks, and keeps partial sums", () => {
    deepStrictEqual(steps("[data+model, -]", "[data, -]"), ["all_gather 0 model/4: [data, -]"]);
    deepStrictEqual(steps("[data, model]", "[-, -]"), ["all_gather 0 data/4: [-, model]", "all_gather 1 model/4: [-, -]"]);
    deepStrictEqual(steps("[data, -] unreduced model", "[-, -] unreduced model"), ["all_gather 0 data/4: [-, -] unreduced model"]);
  });

  it("a collective has the name, role and block of its value, and the cause, pass, region and line of the request", () => {
    const [only] = moved("[data, -]", "[-, -]", "train.py:7");
    deepStrictEqual(
      [only?.name, only?.role, only?.cause, only?.scope],
      ["x", "gradient", "why", { block: 3, region: { id: 2, count: 5 }, line: "train.py:7", phase: "backward" }],
    );
  });

  it("a chip sends (n - 1) / n of the whole array, of its own array in an all_to_all, and twice that in an all_reduce", () => {
    const bytes = (from: string, to: string): number[] => {
      const g = moved(from, to);
      const size = (v: Value): number => v.type.dims.reduce((a, b) => a * b, 4);
      return g.map((value, i) => {
        const sharding = parseSharding(mesh, from);
        const input = g[i - 1] ?? {
          ...value,
          type: tensorType("f32", localDims(mesh, [16, 16, 16].slice(0, sharding.dims.length), sharding)),
        };
        strictEqual(size(input) > 0, true);
        return bytesPerChip(value, input);
      });
    };
    // 16 · 16 elements of 4 bytes are 1024 bytes.
    deepStrictEqual(bytes("[model, -]", "[-, -]"), [768]);
    deepStrictEqual(bytes("[-, -] unreduced model", "[model, -]"), [768]);
    deepStrictEqual(bytes("[-, -] unreduced model", "[-, -]"), [1536]);
    deepStrictEqual(bytes("[model, -]", "[-, model]"), [192]);
    deepStrictEqual(bytes("[-, -]", "[-, model]"), [0]);
  });
});
