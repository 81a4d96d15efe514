/** Token ids. */
type Tokens = readonly number[];

/** Tokens of a document that the model is given, and the number that it then generates. */
export interface RecitationSettings {
  readonly prompt: number;
  readonly continuation: number;
  /** A generation is approximate if its edit distance is at most this share of `continuation`. */
  readonly share: number;
}

/** As in the Gemma report (arXiv 2403.08295, "Memorization Evaluations"). */
export const gemmaRecitation: RecitationSettings = { prompt: 50, continuation: 50, share: 0.1 };

export interface Recitation {
  /** False for a document that is shorter than prompt and continuation. The other fields are then false and undefined. */
  readonly tested: boolean;
  /** The generation equals the continuation of the document. */
  readonly exact: boolean;
  readonly approximate: boolean;
  /** Insertions, deletions and substitutions of tokens. */
  readonly distance: number | undefined;
}

/**
 * Compares what a model generated after the first tokens of a document with the document.
 *
 * @param generated tokens after the prompt; those past `continuation` do not count
 */
export function recitation(document: Tokens, generated: Tokens, { prompt, continuation, share } = gemmaRecitation): Recitation {
  if (document.length < prompt + continuation) return { tested: false, exact: false, approximate: false, distance: undefined };
  const distance = levenshtein(generated.slice(0, continuation), document.slice(prompt, prompt + continuation));
  return { tested: true, exact: distance === 0, approximate: distance <= share * continuation, distance };
}

/** The fewest insertions, deletions and substitutions that turn `a` into `b`. */
export function levenshtein(a: Tokens, b: Tokens): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, x] of a.entries()) {
    const next = [i + 1];
    for (const [j, y] of b.entries()) {
      const [diagonal = 0, above = 0] = row.slice(j, j + 2);
      next.push(Math.min(above + 1, (next[j] ?? 0) + 1, diagonal + Number(x !== y)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
