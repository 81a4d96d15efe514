import { gradients, gradientsFrom } from "@lapidary/compiler";
import { type GraphBuilder, type TensorType, type Value } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import type { Objective } from "./token-loss.js";

/** Arrays of a batch by name, rows first. A batch can lack some arrays. */
interface Batch {
  readonly [name: string]: Value | undefined;
}

export interface Microbatches<B extends Batch> {
  /** The number of parts. */
  readonly count: number;
  readonly batch: B;
  readonly trained: readonly Value[];
  /** The type of the logits of the batch f32[B, T, V], if they are wanted. */
  readonly logits?: TensorType | undefined;
  /** The types of other values that are summed over the parts. */
  readonly totals?: readonly TensorType[] | undefined;
  /** Builds the share of a part in the loss of the batch. The sum of the shares is the loss. */
  readonly objective: (part: B) => PartObjective;
}

export interface PartObjective extends Objective {
  /** Other values of the part, such as the load of experts. */
  readonly totals?: readonly Value[] | undefined;
}

export interface AccumulatedLoss {
  readonly loss: Value;
  /** Of the trained values. */
  readonly gradients: readonly Value[];
  /** The other values, summed over the parts. */
  readonly totals: readonly Value[];
  readonly logits: Value | undefined;
}

/**
 * The loss of a batch and its gradients, as sums over parts of the batch. A region computes one part after the other, so that only the
 * activations of one part are in memory:
 *
 *     tokens [B, T] ─► [B/n, n, T] ─► repeat n { part i ─► forward ─► backward ─► sums } ─► loss, gradients ─► one update
 *
 * Part i has the rows i, i + n, i + 2n and so on. So every chip takes its part from its own rows, and sends none.
 */
export function accumulate<B extends Batch>(
  g: GraphBuilder,
  { count, batch, trained, logits: logitsType, totals: totalTypes = [], objective }: Microbatches<B>,
): AccumulatedLoss {
  const parts = new BatchParts(g, batch, count);
  const logitsBefore = logitsType === undefined ? [] : [g.splat(0, splitType(logitsType, count))];
  const zeros = [...trained.map(({ type }) => type), ...totalTypes].map((type) => g.splat(0, type));
  const initial = [g.scalar(0, "i32"), g.scalar(0), ...zeros, ...logitsBefore];
  const [, loss, ...rest] = g.repeat(count, initial, (carried) => {
    const [index, lossSum, ...sums] = carried as [Value, Value, ...Value[]];
    const { loss: share, known, logits, totals = [] } = objective(parts.at(index));
    const own = known === undefined ? gradients(g, share, trained) : gradientsFrom(g, known, trained);
    const next = g.inPhase("backward", () =>
      own.map((gradient, i) => g.inBlock(trained[i]?.scope.block, () => g.named("gradient_sum", g.add(ensure(sums[i], "sum"), gradient)))),
    );
    assert(totals.length === totalTypes.length, "totals of a part", totals.length, totalTypes.length);
    const totalsNext = totals.map((total, i) => g.add(ensure(sums[trained.length + i], "sum"), total));
    const logitsNext = sums.slice(zeros.length).map((before) => g.dynamicUpdateSlice(before, withPartDim(g, logits()), index, 1));
    return [g.add(index, g.scalar(1, "i32")), g.named("loss_sum", g.add(lossSum, share)), ...next, ...totalsNext, ...logitsNext];
  }) as [Value, Value, ...Value[]];
  const logits = rest[zeros.length];
  return {
    loss,
    gradients: rest.slice(0, trained.length),
    totals: rest.slice(trained.length, zeros.length),
    logits: logits === undefined || logitsType === undefined ? undefined : g.reshape(logits, logitsType.dims),
  };
}

/** The sums of the loss of a batch and of its counted targets, over parts as in `accumulate`. */
export function accumulateSums<B extends Batch>(
  g: GraphBuilder,
  {
    count,
    batch,
    sums,
  }: Pick<Microbatches<B>, "count" | "batch"> & { readonly sums: (part: B) => { readonly sum: Value; readonly count: Value } },
): { readonly sum: Value; readonly count: Value } {
  if (count === 1) return sums(batch);
  const parts = new BatchParts(g, batch, count);
  const [, sum, counted] = g.repeat(count, [g.scalar(0, "i32"), g.scalar(0), g.scalar(0)], (carried) => {
    const [index, before, countedBefore] = carried as [Value, Value, Value];
    const part = sums(parts.at(index));
    return [g.add(index, g.scalar(1, "i32")), g.add(before, part.sum), g.add(countedBefore, part.count)];
  }) as [Value, Value, Value];
  return { sum, count: counted };
}

/** The arrays of a batch as [B/n, n, …], and its parts [B/n, …]. */
class BatchParts<B extends Batch> {
  readonly #split: readonly (readonly [string, Value])[];

  constructor(
    readonly g: GraphBuilder,
    batch: B,
    count: number,
  ) {
    this.#split = Object.entries(batch).flatMap(([name, x]) =>
      x === undefined ? [] : [[name, g.reshape(x, splitType(x.type, count).dims)] as const],
    );
  }

  at(index: Value): B {
    const { g } = this;
    const parts = this.#split.map(([name, x]): [string, Value] => {
      const [rows = 0, , ...rest] = x.type.dims;
      return [name, g.reshape(g.dynamicSlice(x, index, 1, 1), [rows, ...rest])];
    });
    return Object.fromEntries(parts) as { readonly [name: string]: Value } as B;
  }
}

/** The type of [B, …] as [B/n, n, …]. */
function splitType({ dtype, dims: [rows = 0, ...rest] }: TensorType, count: number): TensorType {
  assert(rows % count === 0, "the number of microbatches divides the rows of a batch", rows, count);
  return { dtype, dims: [rows / count, count, ...rest] };
}

/** [B/n, …] as [B/n, 1, …]. */
function withPartDim(g: GraphBuilder, x: Value): Value {
  const [rows = 0, ...rest] = x.type.dims;
  return g.reshape(x, [rows, 1, ...rest]);
}
