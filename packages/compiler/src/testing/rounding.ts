import { type Graph, interpret, type Tensor, type Value } from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";

/** Half a unit in the last place of f32, relative. */
const unitRoundoff = 2 ** -24;
/** Maximum error of an op in unit roundoffs. tanh and exp are the least exact, with 2.3 and 3 units in the last place. */
const roundoffsOfOp = 6;
/** A factor for sums of many terms and errors of one sign, which exceed the errors of a few draws. */
const safety = 6;
const draws = 6;

/** The possible results of a graph in f32. */
export interface Rounding {
  /** The results in double precision, by output. */
  readonly exact: ReadonlyMap<string, Tensor>;
  /** By output, the maximum distance of each element from the exact result. */
  readonly bounds: ReadonlyMap<string, Float64Array>;
  /** A value whose operands are too close to decide in f32 which is larger. The results after it are not determined. */
  readonly undecided: Value | undefined;
}

/**
 * Bounds of the distance of each output element from the exact result if every op rounds to f32. The graph is interpreted in double
 * precision several times. Each value is multiplied by 1 + ε with a random |ε| of a few unit roundoffs. So the bound follows the
 * amplification of errors by the graph, for example by cancellation.
 */
export function roundingOf(graph: Graph, inputs: ReadonlyMap<string, Tensor>): Rounding {
  const exact = evaluateAll(graph, inputs, (x) => x);
  const spreads = exact.map(({ data }) => new Float64Array(data.length));
  for (let draw = 0; draw < draws; draw++) {
    const random = seededRandom(draw);
    const noisy = evaluateAll(graph, inputs, (x) => x * (1 + roundoffsOfOp * unitRoundoff * (2 * random.next() - 1)));
    noisy.forEach(({ data }, id) => {
      const [want, spread] = [ensure(exact[id], "value").data, ensure(spreads[id], "spread")];
      data.forEach((x, i) => {
        const off = Math.abs(x - (want[i] ?? 0));
        if (!(off <= (spread[i] ?? 0)) && x !== want[i]) spread[i] = Number.isNaN(off) ? Infinity : off;
      });
    });
  }
  const bounds = exact.map(({ data }, id) =>
    data.map((x, i) => Math.max(safety * (spreads[id]?.[i] ?? 0), roundoffsOfOp * unitRoundoff * Math.max(Math.abs(x), 2 ** -100))),
  );
  const at = <T>(of: readonly T[]): Map<string, T> => new Map(graph.outputs.map(({ name, value }) => [name, ensure(of[value], name)]));
  return {
    exact: at(exact),
    bounds: at(bounds),
    undecided: graph.values.find((value) => isUndecided(graph, value, exact, spreads)),
  };
}

/** Every value of a graph, in its last iteration. `round` is applied to floats, parameters included. */
function evaluateAll(graph: Graph, inputs: ReadonlyMap<string, Tensor>, round: (x: number) => number): Tensor[] {
  const values: Tensor[] = [];
  interpret(graph, inputs, (result, { id }) => {
    const through = result.dtype === "f32" ? { ...result, data: result.data.map(round) } : result;
    values[id] = through;
    return through;
  });
  return values;
}

/** Whether an op compares two different values that differ by less than their errors. Equal numbers without errors are also equal in f32. */
function isUndecided(graph: Graph, value: Value, exact: readonly Tensor[], spreads: readonly Float64Array[]): boolean {
  const [a = -1, b = -1] = value.inputs;
  const [xs, ys] = [exact[a]?.data ?? [], exact[b]?.data ?? []];
  const [ofX, ofY] = [spreads[a] ?? [], spreads[b] ?? []];
  const isClose = (x: number, y: number, spread: number): boolean => spread > 0 && Math.abs(x - y) <= 2 * safety * spread;
  switch (value.op) {
    case "maximum":
    case "minimum":
    case "compare":
      if (a === b || graph.values[a]?.type.dtype !== "f32" || isOwnExtreme(graph, a, b)) return false;
      return Array.from(xs).some((x, i) => isClose(x, ys[i] ?? 0, (ofX[i] ?? 0) + (ofY[i] ?? 0)));
    case "reduce": {
      if (value.attrs.kind === "sum") return false;
      // Pairs of all rows are compared. This is more than necessary, but the arrays are small.
      const order = Array.from(xs, (x, i) => ({ x, spread: ofX[i] ?? 0 })).sort((p, q) => p.x - q.x);
      return order.some(({ x, spread }, i) => i > 0 && isClose(x, order[i - 1]?.x ?? 0, spread + (order[i - 1]?.spread ?? 0)));
    }
    default:
      return false;
  }
}

/** Whether `b` is the broadcast maximum or minimum of `a`: an element of `a`, which compares equal in any precision. */
function isOwnExtreme(graph: Graph, a: number, b: number): boolean {
  const spread = graph.values[b];
  const reduced = spread?.op === "broadcast_in_dim" ? graph.values[spread.inputs[0] ?? -1] : spread;
  return reduced?.op === "reduce" && reduced.attrs.kind !== "sum" && reduced.inputs[0] === a;
}

/** The element with the largest distance from the exact result, in units of its bound. The result is correct if the ratio is at most 1. */
export function worstRounding(
  actual: ReadonlyMap<string, Tensor>,
  { exact, bounds }: Rounding,
): { readonly output: string; readonly element: number; readonly ratio: number } {
  let worst = { output: "", element: 0, ratio: 0 };
  for (const [output, { data }] of exact) {
    const [got, bound] = [ensure(actual.get(output), output).data, ensure(bounds.get(output), output)];
    data.forEach((want, element) => {
      const x = got[element] ?? NaN;
      const ratio = x === want || (Number.isNaN(x) && Number.isNaN(want)) ? 0 : Math.abs(x - want) / (bound[element] ?? 0);
      if (!(ratio <= worst.ratio)) worst = { output, element, ratio: Number.isNaN(ratio) ? Infinity : ratio };
    });
  }
  return worst;
}
