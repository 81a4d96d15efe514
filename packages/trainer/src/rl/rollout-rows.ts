import { assert, ensure } from "@lapidary/std";
import type { RolloutShape } from "@lapidary/training";

/** A prompt of a rollout: `<bos>` to the start of the model's turn. */
export interface RolloutPrompt {
  readonly ids: ArrayLike<number>;
}

/** The completions of B rows, [B, N] row-major. Tokens after the end of a completion are padding. */
export interface DrawnCompletions {
  readonly completions: Int32Array;
  /** Log-probabilities of the drawn tokens. */
  readonly logps: Float32Array;
}

/** The length of each completion with its stop token, and the completions without one. */
export interface CompletionEnds {
  readonly lengths: Int32Array;
  /** 1: the completion has no stop token. */
  readonly isCutOff: Uint8Array;
}

export function completionEnds(completions: Int32Array, newTokens: number, stopTokens: readonly number[]): CompletionEnds {
  const rows = completions.length / newTokens;
  const ends = { lengths: new Int32Array(rows), isCutOff: new Uint8Array(rows) };
  for (let row = 0; row < rows; row++) {
    const stop = completionOf(completions, newTokens, row).findIndex((token) => stopTokens.includes(token));
    ends.lengths[row] = stop < 0 ? newTokens : stop + 1;
    ends.isCutOff[row] = stop < 0 ? 1 : 0;
  }
  return ends;
}

/** The tokens of one completion and the padding after it. */
const completionOf = (completions: Int32Array, newTokens: number, row: number): Int32Array =>
  completions.subarray(row * newTokens, (row + 1) * newTokens);

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

/** The inputs of programs over prompts and completions, [B, T]. Position t predicts token t + 1. */
export interface SequenceRows {
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
  /** 1 where the target is a token of the completion. */
  readonly mask: Float32Array;
  /** 1 for text, 0 for padding. */
  readonly segments: Int32Array;
}

/**
 * Rows of a prompt, padded on the left, and a completion, padded on the right:
 *
 *     tokens   0 0 <bos> … model \n │ 1 2 3 <end_of_turn> 0 0       P columns │ `width` columns
 *     mask     0 0   0   …   0    1 │ 1 1 1       0       0 0
 */
export function sequenceRows(
  prompts: readonly RolloutPrompt[],
  width: number,
  completions: readonly ArrayLike<number>[],
  completionWidth: number,
): SequenceRows {
  const T = width + completionWidth;
  const { tokens: left, first } = promptRows(prompts, width);
  const size = prompts.length * T;
  const rows = {
    tokens: new Int32Array(size),
    targets: new Int32Array(size),
    mask: new Float32Array(size),
    segments: new Int32Array(size),
  };
  prompts.forEach((_, row) => {
    const completion = ensure(completions[row], "completion");
    const start = row * T;
    rows.tokens.set(left.subarray(row * width, (row + 1) * width), start);
    rows.tokens.set(completion, start + width);
    rows.targets.set(rows.tokens.subarray(start + 1, start + T), start);
    rows.mask.fill(1, start + width - 1, start + width - 1 + completion.length);
    rows.segments.fill(1, start + ensure(first[row], "first"), start + width + completion.length);
  });
  return rows;
}

/** The completions without padding. */
export const trimmedCompletions = ({ completions }: DrawnCompletions, newTokens: number, { lengths }: CompletionEnds): Int32Array[] =>
  Array.from(lengths, (length, row) => completionOf(completions, newTokens, row).subarray(0, length));

/** Values [B, T] at the positions that predict the completions: [B, N]. */
export function takeCompletions(values: ArrayLike<number>, { batch, prompt, newTokens }: RolloutShape): Float32Array {
  const T = prompt + newTokens;
  return Float32Array.from({ length: batch * newTokens }, (_, i) =>
    ensure(values[Math.floor(i / newTokens) * T + prompt - 1 + (i % newTokens)], "value"),
  );
}
