import { assert } from "@lapidary/std";
import type { CollectiveName, OpAttrs } from "../attrs.js";
import { type OpDef, defineOp, notLinear, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { type TensorType, sizeOf, tensorType } from "../types.js";

/** A collective appears only in per-chip and host programs. It has no derivative and no sharding rule, and the executor evaluates it. */
function collective<N extends CollectiveName>(
  name: N,
  type: (input: TensorType, attrs: OpAttrs[N]) => readonly number[],
  /** Chips exchange elements, combine them, or keep a part of their own array. */
  work: "exchange" | "reduce" | "slice",
): OpDef<N> {
  return defineOp<N>({
    name,
    arity: 1,
    placed: false,
    producer: false,
    movesData: work === "slice",
    transcendental: false,
    vectorWork: "none",
    kernel: "loop",
    rounds: false,
    foldable: false,
    communicates: work !== "slice",
    fusible: "none",
    preserves: work === "slice" ? ["positions"] : [],
    type: (inputs, attrs) => {
      const [x] = inputs;
      if (x === undefined) throw new ShapeError(name, "needs an operand", inputs);
      return tensorType(x.dtype, type(x, attrs));
    },
    vjp: null,
    factors: null,
    linearIn: notLinear,
    localize: sameAttrs,
    flops: ([x], _, attrs) => (work === "reduce" ? sizeOf(x?.dims ?? []) * (attrs.size - 1) : 0),
    evaluate: null,
  });
}

const scaled = (x: TensorType, dimension: number, multiply: number, divide: number): number[] =>
  x.dims.map((size, d) => {
    if (d !== dimension) return size;
    assert((size * multiply) % divide === 0, "the size of a collective divides its dim", x, dimension, divide);
    return (size * multiply) / divide;
  });

export const collectiveOps: { readonly [N in CollectiveName]: OpDef<N> } = {
  all_gather: collective("all_gather", (x, { dimension, size }) => scaled(x, dimension, size, 1), "exchange"),
  reduce_scatter: collective("reduce_scatter", (x, { dimension, size }) => scaled(x, dimension, 1, size), "reduce"),
  all_reduce: collective("all_reduce", (x) => x.dims, "reduce"),
  all_to_all: collective(
    "all_to_all",
    (x, { splitDimension, concatDimension, size }) =>
      scaled(tensorType(x.dtype, scaled(x, splitDimension, 1, size)), concatDimension, size, 1),
    "exchange",
  ),
  collective_permute: collective("collective_permute", (x) => x.dims, "exchange"),
  shard_slice: collective("shard_slice", (x, { dimension, size }) => scaled(x, dimension, 1, size), "slice"),
};

export const collectiveNames: ReadonlySet<string> = new Set(Object.keys(collectiveOps));
