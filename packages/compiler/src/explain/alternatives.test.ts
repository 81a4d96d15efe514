import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { makeMesh } from "@lapidary/topology";
import { compile, type CompileOptions } from "../compile.js";
import { exampleStep } from "../testing/worked-example.js";
import { costsOfAlternatives } from "./alternatives.js";
import { explainValue } from "./explain.js";

describe("alternatives of a value", () => {
  const options: CompileOptions = {
    mesh: makeMesh({ data: 2, model: 2 }),
    rules: { batch: "data", heads: "model", mlp: "model" },
    zero: { stage: 3, axes: ["data"] },
  };
  const program = compile(exampleStep(), options);
  const costs = (name: string): Record<string, number> => Object.fromEntries(costsOfAlternatives(program, options, name));
  const listed = (name: string): string[] => explainValue(program, name, [2, 2]).alternatives.map((a) => a.sharding);

  it("the cost of an alternative of a param is the bytes that a step sends if the param is stored so", () => {
    deepStrictEqual(listed("up"), ["[model, data]", "[-, data+model]", "[model+data, -]", "[-, -]"]);
    const { "[model, data]": chosen, "[model+data, -]": minor, "[-, -]": whole } = costs("up");
    ok(chosen !== undefined && minor !== undefined && whole !== undefined);
    // 512 bytes on four chips. The gathers have one size for both dims that data can split. The gradient keeps the sharding of
    // the rules, so that half of a shard moves to the other dim.
    strictEqual(minor - chosen, 64);
    // If every chip stores the whole param, two gathers of 128 bytes over data are not needed, and the next param is gathered from four shards: 384 bytes.
    strictEqual(whole - chosen, 384 - 2 * 128);
  });

  it("the cost of an alternative of a computed value includes the changes of all other shardings", () => {
    const all = costs("layers.0.mlp.hidden");
    deepStrictEqual(listed("layers.0.mlp.hidden").slice(0, 1), ["[data, -, model]"]);
    strictEqual(Object.keys(all).length, listed("layers.0.mlp.hidden").length);
    const chosen = all["[data, -, model]"] ?? NaN;
    for (const [sharding, bytes] of Object.entries(all))
      ok(bytes >= chosen, `${sharding} sends ${bytes} bytes, the chosen sharding ${chosen}`);
    ok(Object.values(all).some((bytes) => bytes > chosen));
  });

  it("a scalar has no alternatives", () => {
    deepStrictEqual(listed("layers.0.loss"), []);
    deepStrictEqual(costs("layers.0.loss"), {});
  });
});
