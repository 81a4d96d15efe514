import { ensure } from "@lapidary/std";
import type { Value } from "../graph.js";
import { type Factor, type FactorMap, type OpDef, defineOp, productTraits, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { type TensorType, isFloat, sameDims, sizeOf, stridesOf, tensorType } from "../types.js";

// Lead: leading dims · N rows · G groups · I, O dims of a matmul

/** A run of rows of equal group: rows [from, to) of the rows [lead, N] as one list, and the matrix [shared, G] that they use. */
export interface RaggedRun {
  readonly from: number;
  readonly to: number;
  readonly matrix: number;
}

/**
 * The runs of rows of each group. Groups fill the N rows of a leading index one after the other; rows after the last group have none.
 * A size below 0 counts as 0, and a group ends with the rows.
 *
 * @param sizes [lead, G]
 */
export function raggedRuns(
  sizes: { readonly dims: readonly number[]; readonly data: ArrayLike<number> },
  rows: number,
  shared: readonly number[],
): RaggedRun[] {
  const lead = sizes.dims.slice(0, -1);
  const groups = sizes.dims.at(-1) ?? 0;
  const strides = stridesOf(lead);
  const ofShared = stridesOf(shared.map((d) => lead[d] ?? 1));
  const runs: RaggedRun[] = [];
  for (let at = 0; at < sizeOf(lead); at++) {
    const first =
      shared.reduce((sum, d, i) => sum + (Math.floor(at / (strides[d] ?? 1)) % (lead[d] ?? 1)) * (ofShared[i] ?? 1), 0) * groups;
    let next = 0;
    for (let group = 0; group < groups; group++) {
      const end = Math.min(rows, next + Math.max(0, sizes.data[at * groups + group] ?? 0));
      if (end > next) runs.push({ from: at * rows + next, to: at * rows + end, matrix: first + group });
      next = end;
    }
  }
  return runs;
}

/** @throws ShapeError unless `x` is [lead, N, …], `sizes` i32 [lead, G], and `shared` are leading dims */
function checkLead(op: string, x: TensorType, sizes: TensorType, shared: readonly number[], inputs: readonly TensorType[]): void {
  const lead = x.dims.slice(0, -2);
  if (!isFloat(x.dtype) || sizes.dtype !== "i32" || x.dims.length < 2 || !sameDims(sizes.dims.slice(0, -1), lead))
    throw new ShapeError(op, "needs rows [lead, N, …] of floats and i32 sizes [lead, G]", inputs);
  if (new Set(shared).size !== shared.length || shared.some((d) => lead[d] === undefined))
    throw new ShapeError(op, `[${shared.join(",")}] are not leading dims`, inputs);
}

const batchShared = ({ shared }: { readonly shared: readonly number[] }): number[] => [0, ...shared.map((d) => d + 1)];

/** Factors of [lead, N, …], of sizes [lead, G] and of matrices [shared, G, …]. Rows and groups are whole, because a size moves all later rows. */
class RaggedFactors {
  readonly factors: Factor[] = [];
  readonly lead: number[][];
  readonly row: number[];
  readonly group: number[];

  /** @param others kind of the leading dims that matrices lack */
  constructor(
    x: TensorType,
    sizes: TensorType,
    readonly shared: readonly number[],
    others: Factor["kind"],
  ) {
    this.lead = x.dims.slice(0, -2).map((size, d) => this.add(size, shared.includes(d) ? "pass" : others));
    this.row = this.add(x.dims.at(-2) ?? 0, "replicate");
    this.group = this.add(sizes.dims.at(-1) ?? 0, "replicate");
  }

  add(size: number, kind: Factor["kind"]): number[] {
    return [this.factors.push(kind === "reduce" ? { size, kind, reduction: "sum" } : { size, kind }) - 1];
  }

  rows(dim: number[]): FactorMap {
    return [...this.lead, this.row, dim];
  }

  matrices(first: number[], second: number[]): FactorMap {
    return [...this.shared.map((d) => this.lead[d] ?? []), this.group, first, second];
  }

  get sizes(): FactorMap {
    return [...this.lead, this.group];
  }
}

/** Matmul of rows with the matrix of their group. Rows without a group are zero, and cost nothing. */
const raggedDot = defineOp({
  name: "ragged_dot",
  arity: 3,
  ...productTraits,
  type: (inputs, { shared, transposed }) => {
    const [x, w, sizes] = inputs;
    if (x === undefined || w === undefined || sizes === undefined)
      throw new ShapeError("ragged_dot", "needs rows, matrices and sizes", inputs);
    checkLead("ragged_dot", x, sizes, shared, inputs);
    const [inner, outer] = transposed ? [w.dims.at(-2), w.dims.at(-1)] : [w.dims.at(-1), w.dims.at(-2)];
    const leading = [...shared.map((d) => x.dims[d] ?? 0), sizes.dims.at(-1) ?? 0];
    if (w.dtype !== x.dtype || !sameDims(w.dims.slice(0, -2), leading) || w.dims.length !== leading.length + 2 || inner !== x.dims.at(-1))
      throw new ShapeError("ragged_dot", "needs a matrix for each shared leading dim and group", inputs);
    return tensorType(x.dtype, [...x.dims.slice(0, -1), outer ?? 0]);
  },
  vjp: (g, { inputs, grad, attrs }) => {
    const [x, w, sizes] = inputs as [Value, Value, Value];
    const { shared, filled, transposed } = attrs;
    const [first, second] = transposed ? [grad, x] : [x, grad];
    return [
      g.op("ragged_dot", [grad, w, sizes], { ...attrs, transposed: !transposed }),
      g.op("ragged_contract", [first, second, sizes], { shared, filled }),
      undefined,
    ];
  },
  factors: ([x, , sizes], output, { shared, transposed }) => {
    const f = new RaggedFactors(ensure(x, "rows"), ensure(sizes, "sizes"), shared, "pass");
    const inner = f.add(x?.dims.at(-1) ?? 0, "reduce");
    const outer = f.add(output.dims.at(-1) ?? 0, "pass");
    const matrices = transposed ? f.matrices(inner, outer) : f.matrices(outer, inner);
    return { factors: f.factors, inputs: [f.rows(inner), matrices, f.sizes], output: f.rows(outer) };
  },
  linearIn: () => [[0], [1]],
  localize: sameAttrs,
  batch: (attrs) => ({ ...attrs, shared: batchShared(attrs) }),
  flops: ([x], output, { filled }) => 2 * sizeOf(output.dims) * (x?.dims.at(-1) ?? 0) * filled,
  evaluate: ([x, w, sizes], { shared, transposed }, out) => {
    const [rows, matrices] = [ensure(x, "rows"), ensure(w, "matrices")];
    const [inner, outer] = [rows.dims.at(-1) ?? 0, out.dims.at(-1) ?? 0];
    const result = new Float64Array(sizeOf(out.dims));
    const [ofOuter, ofInner] = transposed ? [1, outer] : [inner, 1];
    for (const { from, to, matrix } of raggedRuns(ensure(sizes, "sizes"), rows.dims.at(-2) ?? 0, shared))
      for (let row = from; row < to; row++)
        for (let o = 0; o < outer; o++) {
          let sum = 0;
          for (let i = 0; i < inner; i++)
            sum += (rows.data[row * inner + i] ?? 0) * (matrices.data[matrix * inner * outer + o * ofOuter + i * ofInner] ?? 0);
          result[row * outer + o] = sum;
        }
    return tensor(out.dtype, out.dims, result);
  },
});

/** The sums of outer products of the rows of each group: the gradient of the matrices of `ragged_dot`. */
const raggedContract = defineOp({
  name: "ragged_contract",
  arity: 3,
  ...productTraits,
  type: (inputs, { shared }) => {
    const [x, y, sizes] = inputs;
    if (x === undefined || y === undefined || sizes === undefined)
      throw new ShapeError("ragged_contract", "needs two lists of rows and sizes", inputs);
    checkLead("ragged_contract", x, sizes, shared, inputs);
    if (y.dtype !== x.dtype || !sameDims(x.dims.slice(0, -1), y.dims.slice(0, -1)))
      throw new ShapeError("ragged_contract", "needs two lists of equally many rows", inputs);
    return tensorType(x.dtype, [...shared.map((d) => x.dims[d] ?? 0), sizes.dims.at(-1) ?? 0, y.dims.at(-1) ?? 0, x.dims.at(-1) ?? 0]);
  },
  vjp: (g, { inputs, grad, attrs }) => {
    const [x, y, sizes] = inputs as [Value, Value, Value];
    return [
      g.op("ragged_dot", [y, grad, sizes], { ...attrs, transposed: true }),
      g.op("ragged_dot", [x, grad, sizes], { ...attrs, transposed: false }),
      undefined,
    ];
  },
  factors: ([x, y, sizes], _, { shared }) => {
    const f = new RaggedFactors(ensure(x, "rows"), ensure(sizes, "sizes"), shared, "reduce");
    const ofX = f.add(x?.dims.at(-1) ?? 0, "pass");
    const ofY = f.add(y?.dims.at(-1) ?? 0, "pass");
    return { factors: f.factors, inputs: [f.rows(ofX), f.rows(ofY), f.sizes], output: f.matrices(ofY, ofX) };
  },
  linearIn: () => [[0], [1]],
  localize: sameAttrs,
  batch: (attrs) => ({ ...attrs, shared: batchShared(attrs) }),
  flops: ([x, y], _, { filled }) => 2 * sizeOf(x?.dims ?? []) * (y?.dims.at(-1) ?? 0) * filled,
  evaluate: ([x, y, sizes], { shared }, out) => {
    const [a, b] = [ensure(x, "rows"), ensure(y, "rows")];
    const [ofX, ofY] = [a.dims.at(-1) ?? 0, b.dims.at(-1) ?? 0];
    const result = new Float64Array(sizeOf(out.dims));
    for (const { from, to, matrix } of raggedRuns(ensure(sizes, "sizes"), a.dims.at(-2) ?? 0, shared))
      for (let row = from; row < to; row++)
        for (let j = 0; j < ofY; j++)
          for (let i = 0; i < ofX; i++) {
            const at = (matrix * ofY + j) * ofX + i;
            result[at] = (result[at] ?? 0) + (b.data[row * ofY + j] ?? 0) * (a.data[row * ofX + i] ?? 0);
          }
    return tensor(out.dtype, out.dims, result);
  },
});

export const raggedOps: { readonly [N in "ragged_dot" | "ragged_contract"]: OpDef<N> } = {
  ragged_dot: raggedDot,
  ragged_contract: raggedContract,
};
