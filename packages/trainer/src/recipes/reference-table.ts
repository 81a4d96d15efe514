import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type EncodedPair, type PreferenceBatch, preferenceBatch } from "@lapidary/data";
import { digestOf } from "@lapidary/cluster";
import { bytesOfNumbers } from "@lapidary/protocol";
import { assert, ensure, replaceFile } from "@lapidary/std";
import type { RecipeInputs } from "./recipe.js";

/** The log-probabilities of the two answers of a pair under the reference. */
export interface ReferenceLogProbs {
  readonly chosen: number;
  readonly rejected: number;
}

export interface ReferenceTableOptions extends Pick<RecipeInputs, "cacheDir" | "onActivity"> {
  readonly pairs: readonly EncodedPair[];
  /** Pairs of a batch. */
  readonly batch: number;
  readonly seq: number;
  /** What else decides the numbers, bit by bit: the weights, the program, and how workers execute it. */
  readonly key: readonly string[];
  /** Sums of log-probabilities of the rows of a batch, chosen rows first. Not called if a file has the numbers. */
  readonly compute: (batch: PreferenceBatch) => Promise<readonly number[]>;
}

/**
 * The log-probabilities of all pairs of a run under the reference, which does not change: they are computed once. A file keeps them for later attempts
 * and runs with the same pairs and the same reference.
 */
export class ReferenceTable {
  readonly #indices: ReadonlyMap<EncodedPair, number>;
  /** Chosen and rejected, by turns. */
  readonly #values: readonly number[];

  private constructor(pairs: readonly EncodedPair[], values: readonly number[]) {
    this.#indices = new Map(pairs.map((pair, index) => [pair, index]));
    this.#values = values;
  }

  static async open(options: ReferenceTableOptions): Promise<ReferenceTable> {
    const { pairs, cacheDir } = options;
    const directory = join(cacheDir, "reference-log-probs");
    const path = join(directory, `${keyOf(options)}.json`);
    const known = read(path, pairs.length);
    if (known !== undefined) return new ReferenceTable(pairs, known);
    const values = await computeAll(options);
    mkdirSync(directory, { recursive: true });
    const text = JSON.stringify(values);
    replaceFile(path, `${digestOf(text)}\n${text}`);
    return new ReferenceTable(pairs, values);
  }

  of(pair: EncodedPair): ReferenceLogProbs {
    const at = 2 * ensure(this.#indices.get(pair), "index of the pair");
    return { chosen: ensure(this.#values[at], "chosen"), rejected: ensure(this.#values[at + 1], "rejected") };
  }
}

async function computeAll({ pairs, batch, seq, compute, onActivity }: ReferenceTableOptions): Promise<number[]> {
  const values: number[] = [];
  for (let first = 0; first < pairs.length; first += batch) {
    onActivity?.({ what: "log-probabilities of the reference", done: first, total: pairs.length });
    const some = Array.from({ length: batch }, (_, i) => ensure(pairs[(first + i) % pairs.length], "pair"));
    const sums = await compute(preferenceBatch(some, seq));
    assert(sums.length === 2 * batch, "a batch has two rows for each pair", sums.length, batch);
    for (let i = 0; i < Math.min(batch, pairs.length - first); i++)
      values.push(ensure(sums[i], "chosen"), ensure(sums[batch + i], "rejected"));
  }
  onActivity?.(undefined);
  return values;
}

function keyOf({ pairs, batch, seq, key }: ReferenceTableOptions): string {
  const hash = createHash("sha256").update(JSON.stringify([batch, seq, ...key]));
  for (const { chosen, rejected } of pairs)
    for (const { ids, mask } of [chosen, rejected]) hash.update(`${ids.length} `).update(bytesOfNumbers(ids)).update(mask);
  return hash.digest("hex").slice(0, 32);
}

/** The file begins with the digest of the rest: a damaged file is not used. */
function read(path: string, pairs: number): readonly number[] | undefined {
  if (!existsSync(path)) return undefined;
  const file = readFileSync(path, "utf8");
  const end = file.indexOf("\n");
  const text = file.slice(end + 1);
  if (file.slice(0, end) !== digestOf(text)) return undefined;
  const values = JSON.parse(text) as readonly number[];
  return values.length === 2 * pairs ? values : undefined;
}
