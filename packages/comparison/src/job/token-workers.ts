import { judgementFromLogits } from "@lapidary/evaluation";
import type { TokenAnswer, TokenModel, TokenShape } from "@lapidary/trainer";
import type { TokenWorkers } from "../answer-model.js";
import type { RunningRewardModel } from "../reward-model.js";
import type { RecoveringModel } from "./recovering-workers.js";

/** Where the work of a model is divided into units. */
interface UnitScope {
  /** The checkpoint: the results of its units serve no other. */
  readonly directory: string;
  readonly shape: TokenShape;
}

/** The items in the order of their length, in parts of at most `size`, with their places in the results. */
function parts<T>(items: readonly T[], size: number, lengthOf: (item: T) => number): readonly (readonly { item: T; index: number }[])[] {
  const sorted = items.map((item, index) => ({ item, index })).sort((a, b) => lengthOf(a.item) - lengthOf(b.item) || a.index - b.index);
  return Array.from({ length: Math.ceil(sorted.length / size) }, (_, at) => sorted.slice(at * size, (at + 1) * size));
}

/** A model whose work is divided into units of one batch. */
export function tokenUnits(model: RecoveringModel<TokenModel>, { directory, shape }: UnitScope): TokenWorkers {
  const { rows } = shape;
  async function inUnits<T, R>(
    kind: string,
    items: readonly T[],
    { lengthOf, settings = null }: { readonly lengthOf: (item: T) => number; readonly settings?: unknown },
    work: (workers: TokenModel, part: readonly T[], done: number) => Promise<readonly R[]>,
  ): Promise<readonly R[]> {
    const results: R[] = [];
    let done = 0;
    for (const part of parts(items, rows, lengthOf)) {
      const own = part.map(({ item }) => item);
      const values = await model.unit({ kind, directory, shape, settings, items: own }, (workers) => work(workers, own, done));
      part.forEach(({ index }, at) => {
        results[index] = values[at] as R;
      });
      done += part.length;
    }
    return results;
  }
  const logProbs: TokenWorkers["logProbs"] = (documents, signal) =>
    inUnits(
      "logprobs",
      documents.map(({ ids, mask }) => ({ ids: Array.from(ids), mask: Array.from(mask) })),
      { lengthOf: ({ ids }) => ids.length },
      (workers, part) => workers.logProbs(part, signal),
    );
  return {
    answers: (prompts, { onAnswered, signal, ...settings }) =>
      inUnits<(typeof prompts)[number], TokenAnswer>(
        "answers",
        prompts,
        { lengthOf: ({ ids }) => ids.length, settings },
        async (workers, part, done) => {
          const own = await workers.answers(part, { ...settings, signal, onAnswered: (count) => onAnswered?.(done + count) });
          return own.map(({ ids, isCutOff, end }) => ({ ids, isCutOff, ...(end === undefined ? {} : { end }) }));
        },
      ),
    judgements: (questions, { tokens, vocabSize, signal, onAnswered }) =>
      inUnits("judgements", questions, { lengthOf: (ids) => ids.length, settings: { tokens, vocabSize } }, async (workers, part, done) => {
        const logits = await workers.nextLogits(part, { signal, onAnswered: (count) => onAnswered(done + count) });
        return logits.map((each) => judgementFromLogits(each.subarray(0, vocabSize), tokens));
      }),
    logProbs,
    loss: async (documents, signal) => {
      const all = await logProbs(documents, signal);
      const tokens = documents.reduce((sum, { mask }) => sum + Array.from(mask).reduce((count, each) => count + (each > 0 ? 1 : 0), 0), 0);
      return { sum: -all.reduce((sum, each) => sum + each, 0), tokens };
    },
    close: () => model.close(),
  };
}

/** A reward model whose work is divided into units of one batch. */
export const scoreUnits = (
  model: RecoveringModel<(rows: readonly (readonly number[])[]) => Promise<readonly number[]>>,
  { directory, shape }: UnitScope,
): RunningRewardModel => ({
  scores: async (rows, { onAnswered }) => {
    const results: number[] = [];
    let done = 0;
    for (const part of parts(rows, shape.rows, (ids) => ids.length)) {
      const own = part.map(({ item }) => item);
      const scores = await model.unit({ kind: "scores", directory, shape, items: own }, (score) => score(own));
      part.forEach(({ index }, at) => {
        results[index] = scores[at] ?? Number.NaN;
      });
      onAnswered((done += part.length));
    }
    return results;
  },
  close: () => model.close(),
});
