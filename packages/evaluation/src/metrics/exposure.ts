import { ensure, hashString, seededRandom } from "@lapidary/std";

/** A part of a text that cannot be guessed, such as a code. Offsets are UTF-16. */
export interface Secret {
  readonly start: number;
  readonly end: number;
}

/** Digits with at most one space or dash between two of them. */
const digitRuns = /\d(?:[ -]?\d)+/g;
/** Fewer digits have too few other values to compare with. */
const minDigits = 4;

/**
 * The secret of a text: the given part, or the longest run of 4 or more digits.
 *
 * @param part undefined: look for digits
 * @returns undefined if the text has no secret
 */
export function secretIn(text: string, part?: string): Secret | undefined {
  if (part !== undefined) {
    const start = part === "" ? -1 : text.lastIndexOf(part);
    return start < 0 ? undefined : { start, end: start + part.length };
  }
  let best: Secret | undefined;
  for (const { 0: run, index } of text.matchAll(digitRuns))
    if (run.replace(/\D/g, "").length >= minDigits && (best === undefined || run.length > best.end - best.start))
      best = { start: index, end: index + run.length };
  return best;
}

/**
 * Other values of a secret: each digit is replaced by a random digit, and each letter by a random letter of its case. The same secret and seed give the same
 * values, and no value is the secret.
 */
export function otherValues(secret: string, count: number, seed: number): readonly string[] {
  const random = seededRandom(seed ^ hashString(secret));
  const drawn = (from: string): string => ensure(from[random.integer(from.length)], "a character");
  const value = (): string =>
    secret.replace(/\d|[a-z]|[A-Z]/g, (sign) =>
      sign <= "9" ? drawn("0123456789") : sign <= "Z" ? drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ") : drawn("abcdefghijklmnopqrstuvwxyz"),
    );
  const values: string[] = [];
  // A secret without a digit and a letter has no other value.
  for (let tries = 0; values.length < count && tries < 4 * count; tries++) {
    const other = value();
    if (other !== secret) values.push(other);
  }
  return values;
}

/**
 * The exposure of a secret (Carlini et al. 2019, "The Secret Sharer", with sampled values): log₂(n + 1) − log₂(rank) bits, where the rank is that of its
 * log-probability among itself and n other values. A secret that the model did not see has 1.44 bits on average, and log₂(n + 1) is the most.
 *
 * @param others log-probabilities of the other values; a tie counts against the secret's rank
 */
export function exposure(secret: number, others: readonly number[]): number {
  const rank = 1 + others.filter((other) => other >= secret).length;
  return Math.log2((others.length + 1) / rank);
}
