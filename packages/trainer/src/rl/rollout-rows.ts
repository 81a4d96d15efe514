import { assert, ensure } from "@lapidary/std";
import type { RolloutShape } from "@lapidary/training";

/** A prompt of a rollout: `<bos>` to the start of the model's turn. */
export interface RolloutPrompt {
  readonly ids: ArrayLike<number>;
}

/** The answers of B rows, [B, N] row-major. Tokens after the end of an answer are padding. */
export interface DrawnAnswers {
  readonly answers: Int32Array;
  /** Log-probabilities of the drawn tokens. */
  readonly logps: Float32Array;
}

/** The length of each answer with its stop token, and the answers without one. */
export interface AnswerEnds {
  readonly lengths: Int32Array;
  /** 1: the answer has no stop token. */
  readonly isCutOff: Uint8Array;
}

export function answerEnds(answers: Int32Array, newTokens: number, stopTokens: readonly number[]): AnswerEnds {
  const rows = answers.length / newTokens;
  const ends = { lengths: new Int32Array(rows), isCutOff: new Uint8Array(rows) };
  for (let row = 0; row < rows; row++) {
    const stop = answerOf(answers, newTokens, row).findIndex((token) => stopTokens.includes(token));
    ends.lengths[row] = stop < 0 ? newTokens : stop + 1;
    ends.isCutOff[row] = stop < 0 ? 1 : 0;
  }
  return ends;
}

/** The tokens of one answer and the padding after it. */
const answerOf = (answers: Int32Array, newTokens: number, row: number): Int32Array =>
  answers.subarray(row * newTokens, (row + 1) * newTokens);

/** The prompts as `prefill` reads them: [B, P] padded on the left, and the position of each first token. */
export function promptRows(prompts: readonly RolloutPrompt[], width: number): { readonly tokens: Int32Array; readonly first: Int32Array } {
  const tokens = new Int32Array(prompts.length * width);
  const first = new Int32Array(prompts.length);
  prompts.forEach(({ ids }, row) => {
    assert(ids.length >= 1 && ids.length <= width, "a prompt fits into its row", ids.length, width);
    tokens.set(ids, (row + 1) * width - ids.length);
    first[row] = width - ids.length;
  });
  return { tokens, first };
}

/** The inputs of programs over prompts and answers, [B, T]. Position t predicts token t + 1. */
export interface SequenceRows {
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
  /** 1 where the target is a token of the answer. */
  readonly mask: Float32Array;
  /** 1 for text, 0 for padding. */
  readonly segments: Int32Array;
}

/**
 * Rows of a prompt, padded on the left, and an answer, padded on the right:
 *
 *     tokens   0 0 <bos> … model \n │ 1 2 3 <end_of_turn> 0 0       P columns │ `width` columns
 *     mask     0 0   0   …   0    1 │ 1 1 1       0       0 0
 */
export function sequenceRows(
  prompts: readonly RolloutPrompt[],
  width: number,
  answers: readonly ArrayLike<number>[],
  answerWidth: number,
): SequenceRows {
  const T = width + answerWidth;
  const { tokens: left, first } = promptRows(prompts, width);
  const size = prompts.length * T;
  const rows = {
    tokens: new Int32Array(size),
    targets: new Int32Array(size),
    mask: new Float32Array(size),
    segments: new Int32Array(size),
  };
  prompts.forEach((_, row) => {
    const answer = ensure(answers[row], "answer");
    const start = row * T;
    rows.tokens.set(left.subarray(row * width, (row + 1) * width), start);
    rows.tokens.set(answer, start + width);
    rows.targets.set(rows.tokens.subarray(start + 1, start + T), start);
    rows.mask.fill(1, start + width - 1, start + width - 1 + answer.length);
    rows.segments.fill(1, start + ensure(first[row], "first"), start + width + answer.length);
  });
  return rows;
}

/** The answers without padding. */
export const trimmedAnswers = ({ answers }: DrawnAnswers, newTokens: number, { lengths }: AnswerEnds): Int32Array[] =>
  Array.from(lengths, (length, row) => answerOf(answers, newTokens, row).subarray(0, length));

/** Values [B, T] at the positions that predict the answers: [B, N]. */
export function takeAnswers(values: ArrayLike<number>, { batch, prompt, newTokens }: RolloutShape): Float32Array {
  const T = prompt + newTokens;
  return Float32Array.from({ length: batch * newTokens }, (_, i) =>
    ensure(values[Math.floor(i / newTokens) * T + prompt - 1 + (i % newTokens)], "value"),
  );
}
