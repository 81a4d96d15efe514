import { judgementFromLogits } from "@lapidary/evaluation";
import { chunksByLength, lossOf, type TokenAnswer, type TokenModel, type TokenShape } from "@lapidary/trainer";
import type { TokenWorkers } from "../answer-model.js";
import type { RunningRewardModel } from "../reward-model.js";
import type { RecoveringModel } from "./recovering-workers.js";

/** Where the work of a model is divided into units. */
interface UnitScope {
  /** The checkpoint: the results of its units serve no other. */
  readonly directory: string;
  readonly shape: TokenShape;
}

interface Units<M, T, R> {
  readonly items: readonly T[];
  readonly rows: number;
  readonly lengthOf: (item: T) => number;
  /** What the results depend on, besides the items. */
  readonly key: object;
  /** @param done items of the units before */
  work(model: M, items: readonly T[], done: number): Promise<readonly R[]>;
  /** Called after each unit, also after one that was computed before, with the items so far. */
  readonly onUnit?: (done: number) => void;
}

/** The results of all items, computed in units of one batch. */
async function inUnits<M, T, R>(
  model: RecoveringModel<M>,
  { items, rows, lengthOf, key, work, onUnit }: Units<M, T, R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  let done = 0;
  for (const chunk of chunksByLength(items, rows, lengthOf)) {
    const own = chunk.map(({ item }) => item);
    const values = await model.unit({ ...key, items: own }, (workers) => work(workers, own, done));
    chunk.forEach(({ index }, at) => {
      results[index] = values[at] as R;
    });
    done += chunk.length;
    onUnit?.(done);
  }
  return results;
}

/** A model whose work is divided into units of one batch. */
export function tokenUnits(model: RecoveringModel<TokenModel>, { directory, shape }: UnitScope): TokenWorkers {
  const { rows } = shape;
  const keyOf = (kind: string, settings: unknown = null): object => ({ kind, directory, shape, settings });
  const lengthOf = ({ ids }: { readonly ids: ArrayLike<number> }): number => ids.length;
  const logProbs: TokenWorkers["logProbs"] = (documents, signal) =>
    inUnits(model, {
      items: documents.map(({ ids, mask }) => ({ ids: Array.from(ids), mask: Array.from(mask) })),
      rows,
      lengthOf,
      key: keyOf("logprobs"),
      work: (workers, own) => workers.logProbs(own, signal),
    });
  return {
    answers: (prompts, { onAnswered, signal, ...settings }) =>
      inUnits(model, {
        items: prompts,
        rows,
        lengthOf,
        key: keyOf("answers", settings),
        work: async (workers, own, done): Promise<TokenAnswer[]> => {
          const answers = await workers.answers(own, { ...settings, signal, onAnswered: (count) => onAnswered?.(done + count) });
          return answers.map(({ ids, isCutOff, end }) => ({ ids, isCutOff, ...(end === undefined ? {} : { end }) }));
        },
      }),
    judgements: (questions, { tokens, vocabSize, signal, onAnswered }) =>
      inUnits(model, {
        items: questions,
        rows,
        lengthOf: (ids) => ids.length,
        key: keyOf("judgements", { tokens, vocabSize }),
        work: async (workers, own, done) => {
          const logits = await workers.nextLogits(own, { signal, onAnswered: (count) => onAnswered(done + count) });
          return logits.map((each) => judgementFromLogits(each.subarray(0, vocabSize), tokens));
        },
      }),
    logProbs,
    loss: async (documents, signal) => lossOf(documents, await logProbs(documents, signal)),
    close: () => model.close(),
  };
}

/** A reward model whose work is divided into units of one batch. */
export const scoreUnits = (
  model: RecoveringModel<(rows: readonly (readonly number[])[]) => Promise<readonly number[]>>,
  { directory, shape }: UnitScope,
): RunningRewardModel => ({
  scores: (items, { onAnswered }) =>
    inUnits(model, {
      items,
      rows: shape.rows,
      lengthOf: (ids) => ids.length,
      key: { kind: "scores", directory, shape },
      work: (score, own) => score(own),
      onUnit: onAnswered,
    }),
  close: () => model.close(),
});
