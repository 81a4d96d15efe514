import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { ensure, seededRandom } from "@lapidary/std";
import type { OpName } from "../attrs.js";
import type { FactorMap, OpDef, OpFactors } from "../op.js";
import type { ReductionKind } from "../sharding.js";
import { type Tensor, takeIndices, tensor } from "../tensor.js";
import { draw, opCases } from "../testing/op-cases.js";
import { parseType, printType, sizeOf } from "../types.js";
import { elementwiseNames, ops } from "./index.js";

const letter = (factor: number): string => String.fromCharCode(97 + factor);
const mapText = (map: FactorMap): string =>
  map.map((dim) => (dim.length === 0 ? "-" : dim.length === 1 ? dim.map(letter).join("") : `(${dim.map(letter).join("")})`)).join("");

function ruleText({ factors, inputs, output }: OpFactors): string {
  const words = { pass: undefined, reduce: undefined, replicate: "whole" };
  const marks = factors.flatMap(({ kind, reduction }, f) => {
    const mark = kind in words ? (words[kind] ?? reduction) : kind;
    return mark === undefined ? [] : [` ${letter(f)}:${mark}`];
  });
  return `${inputs.map(mapText).join(",")}->${mapText(output)}${marks.join("")}`;
}

/** Indices of a dim whose digit for `factor` is in the part `part` of two; all indices if the dim does not contain the factor. */
function positionsOf(size: number, dim: readonly number[], sizes: readonly number[], factor: number, part: number): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  const at = dim.indexOf(factor);
  if (at < 0) return all;
  const minor = dim.slice(at + 1).reduce((n, f) => n * (sizes[f] ?? 1), 1);
  const half = (sizes[factor] ?? 0) / 2;
  return all.filter((i) => Math.floor((Math.floor(i / minor) % (sizes[factor] ?? 1)) / half) === part);
}

const combine: Readonly<Record<ReductionKind, (a: number, b: number) => number>> = { sum: (a, b) => a + b, max: Math.max, min: Math.min };

describe("sharding rules of ops", () => {
  it("every op but parameters and collectives has a case", () => {
    const without = (Object.keys(ops) as OpName[]).filter((name) => !opCases.some((each) => each.name === name));
    deepStrictEqual(without, [
      "parameter",
      "all_gather",
      "reduce_scatter",
      "all_reduce",
      "all_to_all",
      "collective_permute",
      "shard_slice",
    ]);
  });

  for (const { name, one, def } of opCases) {
    const types = one.types.map(parseType);
    const output = def.type(types, one.attrs);
    const rule = ensure(def.factors, "rule")(types, output, one.attrs);
    const evaluate = ensure(def.evaluate, "meaning");
    const title = `${name}(${one.types.join(", ")}) ${JSON.stringify(one.attrs)}`;
    const inputs = draw(types, 5);
    const whole = evaluate(inputs, one.attrs, output);
    const sizes = rule.factors.map(({ size }) => size);

    it(`${title} has the rule ${one.rule}, linear operands and a count of operations`, () => {
      strictEqual(ruleText(rule), one.rule);
      const sets = def.linearIn(one.attrs, types.length).map((set) => set.join(""));
      strictEqual(sets.join(" "), one.linear);
      strictEqual(def.flops(types, output, one.attrs), one.flops);
      deepStrictEqual([whole.dtype, whole.dims], [output.dtype, output.dims]);
      for (const [map, { dims }] of [
        ...rule.inputs.map((map, i) => [map, ensure(types[i], "type")] as const),
        [rule.output, output] as const,
      ])
        map.forEach((dim, d) => {
          const product = dim.reduce((n, f) => n * (sizes[f] ?? 0), 1);
          ok(product === dims[d] || (dim.length === 0 && output.dims !== dims), `${title}: dim ${d} has ${product} of ${dims[d]} elements`);
        });
    });

    it(`${title} is computed part by part along each factor that may be split`, () => {
      const placed = one.placed ?? "";
      rule.factors.forEach(({ kind, reduction, size }, f) => {
        if (kind === "replicate" || size % 2 !== 0) return;
        const parts = [0, 1].map((part) => {
          const take = (x: Tensor, map: FactorMap): Tensor =>
            takeIndices(
              x,
              x.dims.map((n, d) => positionsOf(n, map[d] ?? [], sizes, f, part)),
            );
          const locals = inputs.map((x, i) => take(x, rule.inputs[i] ?? []));
          const expected = take(whole, rule.output);
          const localTypes = locals.map(({ dtype, dims }) => ({ dtype, dims }));
          const attrs = def.localize(
            one.attrs,
            locals.map(({ dims }) => dims),
            expected.dims,
          );
          const localType = def.type(localTypes, attrs);
          strictEqual(printType(localType), printType({ ...output, dims: expected.dims }), `factor ${letter(f)}`);
          return { got: evaluate(locals, attrs, localType), expected };
        });
        const [low, high] = [ensure(parts[0], "part"), ensure(parts[1], "part")];
        if (kind === "pass") {
          const got = [low.got.data, high.got.data];
          const expected = [low.expected.data, high.expected.data];
          if (placed.includes(letter(f))) notDeepStrictEqual(got, expected);
          else deepStrictEqual(got, expected, `factor ${letter(f)}`);
          return;
        }
        const merge = combine[ensure(reduction, "reduction")];
        const got = low.got.data.map((v, i) => merge(v, high.got.data[i] ?? Number.NaN));
        if (placed.includes(letter(f))) notDeepStrictEqual(got, whole.data);
        else deepStrictEqual(got, whole.data, `factor ${letter(f)}`);
      });
      // Partition replaces a shift of a split dim by a collective_permute, which knows the position.
      if (name !== "shift") strictEqual(def.placed, placed !== "", "an op with a factor whose parts need their position is placed");
    });

    it(`${title} of sums is the sum of the results, for each set of linear operands`, () => {
      const other = draw(types, 11);
      for (const set of def.linearIn(one.attrs, types.length)) {
        const varied = inputs.map((x, i) => (set.includes(i) ? ensure(other[i], "operand") : x));
        const sums = inputs.map((x, i) =>
          set.includes(i)
            ? tensor(
                x.dtype,
                x.dims,
                x.data.map((v, at) => v + (other[i]?.data[at] ?? 0)),
              )
            : x,
        );
        const [a, b, both] = [inputs, varied, sums].map((operands) => evaluate(operands, one.attrs, output).data);
        a?.forEach((v, i) => ok(Math.abs(v + (b?.[i] ?? 0) - (both?.[i] ?? Number.NaN)) < 1e-12, `operands ${set.join()}, element ${i}`));
      }
    });
  }
});

describe("traits of ops", () => {
  const withTrait = (has: (def: OpDef<OpName>) => boolean): string[] =>
    (Object.keys(ops) as OpName[]).filter((name) => has(ops[name] as OpDef<OpName>)).sort();

  it("the result of an op that does not round has no more digits than its operands", () => {
    const toBf16 = (v: number): number => {
      const bits = new Uint32Array(new Float32Array([v]).buffer)[0] ?? 0;
      return new Float32Array(new Uint32Array([(bits + 0x8000) & 0xffff_0000]).buffer)[0] ?? 0;
    };
    const random = seededRandom(3);
    /** By op: whether all its results have at most the digits of bf16. */
    const exact = new Map<OpName, boolean>();
    for (const { name, one, def } of opCases) {
      const types = one.types.map(parseType);
      if (types.length === 0 || types.some(({ dtype }) => dtype !== "f32") || name === "bitcast_convert") continue;
      const inputs = types.map(({ dims }) =>
        tensor(
          "f32",
          dims,
          Float64Array.from({ length: sizeOf(dims) }, () => toBf16((0.5 + random.next()) * 2 ** random.integer(6))),
        ),
      );
      const { data } = ensure(def.evaluate, "meaning")(inputs, one.attrs, def.type(types, one.attrs));
      exact.set(name, (exact.get(name) ?? true) && data.every((v) => toBf16(v) === v));
    }
    // A remainder is exact, but a quotient near a whole number can be truncated to another number: workers compute in f32.
    for (const [name, isExact] of exact) strictEqual(ops[name].rounds, !isExact || name === "remainder", name);
    ok(exact.size > 30, `${exact.size} ops`);
  });

  it("each trait holds for exactly these ops", () => {
    const collectives = ["all_gather", "all_reduce", "all_to_all", "collective_permute", "reduce_scatter"];
    deepStrictEqual(
      withTrait(({ communicates }) => communicates),
      collectives,
    );
    deepStrictEqual(
      withTrait(({ foldable }) => !foldable),
      [...collectives, "carry", "parameter", "rng_normal", "rng_uniform", "shard_slice", "yield"].sort(),
    );
    deepStrictEqual(
      withTrait(({ placed }) => placed),
      ["gather", "iota", "pick", "rng_normal", "rng_uniform", "scatter"],
    );
    deepStrictEqual(
      withTrait(({ producer }) => producer),
      ["broadcast_in_dim", "constant", "iota"],
    );
    deepStrictEqual(
      withTrait(({ movesData }) => movesData),
      [
        ...["carry", "concatenate", "dynamic_slice", "dynamic_update_slice", "pad", "pick", "rng_normal", "rng_uniform", "shard_slice"],
        ...["shift", "slice", "transpose", "yield"],
      ],
    );
    deepStrictEqual(
      withTrait(({ transcendental }) => transcendental),
      [
        ...["atan2", "cosine", "divide", "erf", "erfc", "exponential", "exponential_minus_one", "log", "log_plus_one", "power"],
        ...["remainder", "rsqrt", "sine", "sqrt", "tanh"],
      ],
    );
    deepStrictEqual(
      withTrait(({ kernel }) => kernel === "product"),
      ["dot_general", "ragged_contract", "ragged_dot"],
    );
    deepStrictEqual(
      withTrait(({ kernel }) => kernel === "lookup"),
      ["gather", "scatter"],
    );
    deepStrictEqual(
      withTrait(({ vectorWork }) => vectorWork === "operand"),
      ["cumsum", "reduce"],
    );
    deepStrictEqual(
      withTrait(({ vectorWork }) => vectorWork === "result"),
      [...elementwiseNames, "concatenate", "dynamic_slice", "dynamic_update_slice", "pad", "pick", "scatter", "shift", "slice"].sort(),
    );
    deepStrictEqual(
      withTrait(({ preserves }) => preserves.includes("mask")),
      ["broadcast_in_dim", "constrain", "convert", "reshape", "select"],
    );
    deepStrictEqual(
      withTrait(({ preserves }) => preserves.includes("positions")),
      ["add", "broadcast_in_dim", "constrain", "reshape", "shard_slice", "subtract"],
    );
  });
});
