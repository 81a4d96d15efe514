import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import type { Held } from "@lapidary/executor";
import { parseSharding } from "@lapidary/ir";
import { type TensorSpec, handleOf } from "@lapidary/protocol";
import { LapidaryError } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { type DeviceValue, ValueStore, layoutText } from "./values.js";

const mesh = makeMesh({ data: 2 });
const tensor: TensorSpec = { id: handleOf("a"), dtype: "f32", dims: [4, 2], sharding: parseSharding(mesh, "[data, -]") };

describe("the values of a run", () => {
  const disposed: string[] = [];
  beforeEach(() => disposed.splice(0));
  /** A value of `size` elements whose memory is freed by `dispose`. */
  const valueOf = (name: string, size = 2): DeviceValue => ({
    held: [{ size, dtype: "float32", shape: [size], dispose: () => void disposed.push(name) }] as unknown as Held,
    tensor,
    layout: layoutText(mesh, tensor),
  });
  const [a, b] = [handleOf("a"), handleOf("b")];
  const failure = new LapidaryError({ code: "LAP_FAILPOINT", message: "failed" });

  it("a layout is the type and the sharding of an array", () => strictEqual(layoutText(mesh, tensor), "f32[4,2] [data, -]"));

  it("a replaced, dropped or cleared value is freed once, and a released one is not", () => {
    const values = new ValueStore();
    values.set(a, valueOf("first"));
    values.set(a, valueOf("second"));
    deepStrictEqual(disposed, ["first"]);
    values.set(b, valueOf("third", 3));
    deepStrictEqual(values.bytes(), { a: 8, b: 12 });
    strictEqual(values.drop(b), 12);
    deepStrictEqual(disposed, ["first", "third"]);
    deepStrictEqual([values.has(a), values.has(b)], [true, false]);
    values.set(b, valueOf("fourth"));
    values.release(b);
    values.clear();
    deepStrictEqual(disposed, ["first", "third", "second"]);
    strictEqual(values.has(a), false);
  });

  it("an unknown value is an error, and a value whose computation failed throws the failure", () => {
    const values = new ValueStore();
    for (const use of [() => values.get(a), () => values.drop(a)]) throws(use, { code: "LAP_WORKER_VALUE_UNKNOWN" });
    values.set(a, failure);
    throws(() => values.get(a), { code: "LAP_FAILPOINT" });
    deepStrictEqual(values.bytes(), { a: 0 });
    strictEqual(values.drop(a), 0);
  });
});
