import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { weightName, withoutSharedPath } from "./weight-names.js";

describe("names of weights on a page", () => {
  it("the collection of a weight is omitted, and other names do not change", () => {
    strictEqual(weightName({ name: "params/model.norm.weight", role: "param" }), "model.norm.weight");
    strictEqual(weightName({ name: "w", role: "param" }), "w");
    strictEqual(weightName({ name: "grads/model.norm.weight", role: "gradient" }), "grads/model.norm.weight");
    strictEqual(weightName({ name: "params/odd" }), "params/odd");
  });

  it("the path that all names of a list share is omitted, but never a whole name", () => {
    deepStrictEqual(withoutSharedPath(["model.layers.0.w", "model.layers.1.w", "model.norm"]), ["layers.0.w", "layers.1.w", "norm"]);
    deepStrictEqual(withoutSharedPath(["model.norm", "lm_head"]), ["model.norm", "lm_head"]);
    deepStrictEqual(withoutSharedPath(["model.norm", "model.norm"]), ["norm", "norm"]);
    deepStrictEqual(withoutSharedPath(["model.a", "model.a.b"]), ["a", "a.b"]);
    deepStrictEqual(withoutSharedPath(["model.norm"]), ["norm"]);
    deepStrictEqual(withoutSharedPath([]), []);
  });
});
