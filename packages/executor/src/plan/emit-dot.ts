import { type DimPair, type OpName, type ValueOf, dotLayout } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { type DotGroups, type GemmOperand, planDot } from "../kernels/dot-plan.js";
import { planFewRows } from "../kernels/few-rows.js";
import { isViewTranspose } from "../kernels/shape.js";
import type { NodeId, PlanBuilder } from "./plan.js";

/**
 * A `dot_general` as its parts: rounding under `mxu`, transposes that the layout requires, and one matmul of views. A part that several matmuls share
 * (a rounded weight, a transposed query) is computed once.
 *
 * - A free dim in which an operand repeats repeats in the result.
 * - A batch dim in which the right operand repeats (keys that many heads share) is a free dim of the left one, if only such dims follow:
 *
 *       q [B, H, T, d] · k [B, 1, S, d], batch B, H  →  [B, H·T, d] · [B, S, d]ᵀ: one matmul for all heads
 */
export function emitDot(b: PlanBuilder, value: ValueOf<"dot_general">, inputs: readonly NodeId[]): NodeId {
  const asValue: ValueOf<OpName> = value;
  const [fullLeft, fullRight] = [b.fullDims(ensure(value.inputs[0], "operand")), b.fullDims(ensure(value.inputs[1], "operand"))];
  let [left, right] = [ensure(inputs[0], "operand"), ensure(inputs[1], "operand")];
  const { batch, contracting } = value.attrs;

  // Both operands need the contracted dims in full.
  left = b.repeatAlong(
    left,
    contracting.map(([l]) => l),
    fullLeft,
    asValue,
  );
  right = b.repeatAlong(
    right,
    contracting.map(([, r]) => r),
    fullRight,
    asValue,
  );
  const repeatsLeft = ([l, r]: DimPair): boolean => b.dims(left)[l] === 1 && b.dims(right)[r] !== 1;
  const repeatsRight = ([l, r]: DimPair): boolean => b.dims(right)[r] === 1 && b.dims(left)[l] !== 1;
  left = b.repeatAlong(
    left,
    batch.filter(repeatsLeft).map(([l]) => l),
    fullLeft,
    asValue,
  );
  const shared = trailing(batch, repeatsRight, (pair) => b.dims(left)[pair[0]] === 1);
  right = b.repeatAlong(
    right,
    batch.filter((pair) => repeatsRight(pair) && !shared.includes(pair)).map(([, r]) => r),
    fullRight,
    asValue,
  );

  const layout = dotLayout(fullLeft.length, fullRight.length, batch, contracting);
  const groups: DotGroups = {
    batch: batch.filter((pair) => !shared.includes(pair)),
    contracting,
    lhsFree: [...shared.map(([l]) => l), ...layout.lhsFree],
    rhsFree: layout.rhsFree,
  };
  const dims = [
    ...batch.map(([l]) => b.dims(left)[l] ?? 1),
    ...layout.lhsFree.map((d) => b.dims(left)[d] ?? 1),
    ...layout.rhsFree.map((d) => b.dims(right)[d] ?? 1),
  ];
  const isFloat = [left, right].every((id) => b.get(id).type.dtype === "f32");
  if (b.options.fewRows === true && isFloat && planFewRows(value.attrs, b.dims(left), b.dims(right)) !== undefined)
    return b.emitOnViews(
      "dot_general",
      value.attrs,
      { operands: [left, right], inputs: [b.arrayOf(left), b.arrayOf(right)] },
      { ...value.type, dims },
      asValue,
    );
  const plan = planDot(
    groups,
    b.dims(left),
    b.dims(right),
    shared.map(([, r]) => r),
  );
  const operands = [arrange(b, asValue, left, plan.lhs), arrange(b, asValue, right, plan.rhs)];
  const rank = plan.dims.length;
  const [lastRow, lastColumn] = [rank - 2, rank - 1];
  const product = b.emit(
    "dot_general",
    {
      batch: rank === 3 ? [[0, 0]] : [],
      contracting: [[plan.lhs.adjoint ? lastRow : lastColumn, plan.rhs.adjoint ? lastColumn : lastRow]],
    },
    operands,
    { dtype: value.type.dtype, dims: plan.dims },
    asValue,
  );
  return b.view(product, dims, asValue);
}

/** Prepares an operand of the matmul: rounds it, transposes it, and views it as matrices. */
function arrange(b: PlanBuilder, value: ValueOf<OpName>, operand: NodeId, { permutation, dims: matrix }: GemmOperand): NodeId {
  let arranged = operand;
  const { dtype } = b.get(arranged).type;
  if (b.options.roundMatmulOperands && dtype !== "bf16")
    arranged = b.emit("convert", { dtype: "bf16" }, [arranged], { dtype: "bf16", dims: b.dims(arranged) }, value);
  if (permutation !== undefined && !isViewTranspose(b.dims(arranged), permutation)) {
    const type = b.get(arranged).type;
    arranged = b.emit("transpose", { permutation }, [arranged], { ...type, dims: permutation.map((p) => type.dims[p] ?? 1) }, value);
  }
  return b.view(arranged, matrix, value);
}

/** The longest tail of pairs that are `wanted` or `neutral`; of it, the pairs that are `wanted`. */
function trailing(pairs: readonly DimPair[], wanted: (pair: DimPair) => boolean, neutral: (pair: DimPair) => boolean): DimPair[] {
  let from = pairs.length;
  while (from > 0 && (wanted(ensure(pairs[from - 1], "pair")) || neutral(ensure(pairs[from - 1], "pair")))) from--;
  return pairs.slice(from).filter(wanted);
}
