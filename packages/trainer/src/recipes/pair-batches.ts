import { type EncodedPair, ExampleSet, type PreferenceBatch, preferenceBatch } from "@lapidary/data";
import { type ArrayData } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import type { RecipeInputs, StepMetrics } from "./recipe.js";

/** Arrays of a batch of pairs: chosen rows before rejected rows. */
type PairArray = "tokens" | "targets" | "mask" | "segments" | "last" | "margin";

/** A batch of pairs, and the number of targets in it. */
export interface PairBatch {
  readonly examples: readonly EncodedPair[];
  readonly pairs: PreferenceBatch;
  /** Pairs that count. Others repeat pairs to fill the batch. */
  readonly own: number;
  readonly targets: number;
}

/** The batches of a run on pairs: functions of (seed, number of the batch). */
export class PairBatches {
  readonly #set: ExampleSet<EncodedPair>;

  constructor(private readonly inputs: RecipeInputs) {
    const { dataset } = inputs;
    assert(dataset instanceof ExampleSet && dataset.kind === "pairs", "the run has pairs");
    this.#set = dataset as ExampleSet<EncodedPair>;
  }

  get #count(): number {
    return this.inputs.job.train.batch / 2;
  }

  train(batch: number): PairBatch {
    const { seed, train } = this.inputs.job;
    return batchOf(this.#set.train(seed, batch, this.#count), this.#count, train.seq);
  }

  heldout(batch: number): PairBatch {
    const { examples, own } = this.#set.heldoutBatch(batch, this.#count);
    return batchOf(examples, own, this.inputs.job.train.seq);
  }
}

function batchOf(examples: readonly EncodedPair[], own: number, seq: number): PairBatch {
  const pairs = preferenceBatch(examples, seq);
  const targets = examples
    .slice(0, own)
    .flatMap(({ chosen, rejected }) => [chosen.mask, rejected.mask])
    .reduce((sum, mask) => sum + mask.reduce((ones, each) => ones + each, 0), 0);
  return { examples, pairs, own, targets };
}

/** The scalars that a step on pairs returns, besides those of its recipe. */
export const pairScalars = ["loss", "grad_norm", "learning_rate", "accuracy", "margin_mean"] as const;

/** @param own scalars of the recipe, which are metrics of the same name */
export function pairStepMetrics(
  scalars: ReadonlyMap<string, number>,
  { targets }: Pick<PairBatch, "targets">,
  own: readonly string[],
): StepMetrics {
  const scalar = (name: string): number => ensure(scalars.get(name), name);
  return {
    loss: scalar("loss"),
    grad_norm: scalar("grad_norm"),
    learning_rate: scalar("learning_rate"),
    tokens_counted: targets,
    more: {
      accuracy: scalar("accuracy"),
      margin: scalar("margin_mean"),
      ...Object.fromEntries(own.map((name) => [name, scalar(name)])),
    },
  };
}

/** One array of a batch of pairs. */
export function pairArray({ rows, seq, ...arrays }: PreferenceBatch, name: PairArray): ArrayData {
  if (name === "margin") return { dtype: "f32", dims: [rows / 2], data: arrays.margin };
  if (name === "last") return { dtype: "i32", dims: [rows], data: arrays.last };
  if (name === "mask") return { dtype: "f32", dims: [rows, seq], data: arrays.mask };
  return { dtype: "i32", dims: [rows, seq], data: arrays[name] };
}

/** Tokens of the answer in one row of a batch of pairs. */
export const answerTokens = ({ mask, seq }: Pick<PreferenceBatch, "mask" | "seq">, row: number): number =>
  mask.subarray(row * seq, (row + 1) * seq).reduce((ones, each) => ones + each, 0);

/** −log σ(x). */
export const negativeLogSigmoid = (x: number): number => (x > 0 ? Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)) - x);
