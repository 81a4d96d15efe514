import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { weightName, withoutSharedPath } from "./weight-names.js";

describe("names of weights on a page", () => {
  it("leave the collection of a weight out, and keep other names whole", () => {
    strictEqual(weightName({ name: "params/model.norm.weight", role: "param" }), "model.norm.weight");
    strictEqual(weightName({ name: "w", role: "param" }), "w");
    strictEqual(weightName({ name: "grads/model.norm.weight", role: "gradient" }), "grads/model.norm.weight");
    strictEqual(weightName({ name: "params/odd" }), "params/odd");
  });

  it("leave out the path that all names of a list share, and never a whole name", () => {
    deepStrictEqual(withoutSharedPath(["model.layers.0.w", "model.layers.1.w", "model.norm"]), ["layers.0.w", "layers.1.w", "norm"]);
    deepStrictEqual(withoutSharedPath(["model.norm", "lm_head"]), ["model.norm", "lm_head"]);
    deepStrictEqual(withoutSharedPath(["model.norm", "model.norm"]), ["norm", "norm"]);
    deepStrictEqual(withoutSharedPath(["model.a", "model.a.b"]), ["a", "a.b"]);
    deepStrictEqual(withoutSharedPath(["model.norm"]), ["norm"]);
    deepStrictEqual(withoutSharedPath([]), []);
  });
});
