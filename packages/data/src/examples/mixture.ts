import { assert, hash32 } from "@lapidary/std";
import { permute } from "@lapidary/mixture";
import { badMixture, unknownSubset } from "./example-errors.js";

/** A group of examples: a file, or one subset of a file. */
export interface MixtureSource {
  readonly name: string;
  /** Number of examples. */
  readonly size: number;
  /** Share of the examples of an epoch. A source without a share contributes each of its examples once an epoch. */
  readonly share?: number | undefined;
}

/** An example of the mixture. */
export interface MixtureItem {
  /** Index of the source. */
  readonly source: number;
  /** Index of the example in its source. */
  readonly index: number;
}

/**
 * Draws examples from several sources by their shares. An epoch has a fixed number of examples of each source, in an order of its own. A source
 * goes through all of its examples before it repeats one.
 *
 * The example at a slot is a function of (seed, epoch, slot) without a table, so a resumed run draws the same examples.
 */
export interface Mixture {
  /** Number of examples of an epoch, of all sources. */
  readonly size: number;
  /** Number of examples of an epoch by source. */
  readonly counts: readonly number[];
  item(seed: number, epoch: number, slot: number): MixtureItem;
}

/** @throws LapidaryError `LAP_EXAMPLE_MIXTURE` */
export function mixtureOf(sources: readonly MixtureSource[]): Mixture {
  checkSources(sources);
  const counts = countsOf(sources);
  const starts = counts.map((_, at) => counts.slice(0, at).reduce((sum, count) => sum + count, 0));
  const size = counts.reduce((sum, count) => sum + count, 0);
  const item = (seed: number, epoch: number, slot: number): MixtureItem => {
    assert(Number.isInteger(epoch) && epoch >= 0, "an epoch is a natural number", epoch);
    const shuffled = permute(slot, size, keyOf(seed, 0, epoch));
    const source = starts.findLastIndex((start) => start <= shuffled);
    const [count = 0, start = 0, length = 0] = [counts[source], starts[source], sources[source]?.size];
    const drawn = epoch * count + shuffled - start;
    const pass = Math.floor(drawn / length);
    return { source, index: permute(drawn % length, length, keyOf(seed, source + 1, pass)) };
  };
  return { size, counts, item };
}

function checkSources(sources: readonly MixtureSource[]): void {
  const remedy = "write shares between 0 and 1 whose sum is at most 1";
  if (sources.length === 0) throw badMixture("the mixture has no files", "name a file in data.train");
  for (const { name, size, share } of sources) {
    if (size === 0) throw badMixture(`${name} has no examples`, "remove it from the mixture, or correct its rows");
    if (share !== undefined && !(share > 0 && share <= 1)) throw badMixture(`the share of ${name} is ${share}`, remedy);
  }
  const sum = sumOfShares(sources);
  const areAllShared = sources.every(({ share }) => share !== undefined);
  if (areAllShared && Math.abs(sum - 1) > 1e-6)
    throw badMixture(`all sources have shares, and their sum is ${rounded(sum)}, not 1`, remedy);
  if (!areAllShared && sum >= 1 - 1e-6)
    throw badMixture(`the sum of the shares is ${rounded(sum)}, so that sources without a share have no place`, remedy);
}

const rounded = (value: number): number => Number(value.toPrecision(6));
const sumOfShares = (sources: readonly MixtureSource[]): number => sources.reduce((sum, { share = 0 }) => sum + share, 0);

/** The number of examples of each source in an epoch. A share is met to within half an example, and no source has less than one. */
function countsOf(sources: readonly MixtureSource[]): readonly number[] {
  const unshared = sources.filter(({ share }) => share === undefined).reduce((sum, { size }) => sum + size, 0);
  const all = sources.reduce((sum, { size }) => sum + size, 0);
  const total = unshared === 0 ? all : unshared / (1 - sumOfShares(sources));
  return sources.map(({ size, share }) => (share === undefined ? size : Math.max(1, Math.round(share * total))));
}

function keyOf(seed: number, stream: number, epoch: number): number {
  assert(Number.isSafeInteger(seed), "a seed is an integer", seed);
  return hash32(hash32(hash32(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0), stream), epoch);
}

/** The examples of a file in a mixture. */
export interface MixtureFile<T> {
  readonly name: string;
  readonly items: readonly T[];
  /** Share of the whole mixture of the examples without a share of their own. */
  readonly share?: number | undefined;
  /** Shares of the whole mixture by subset. */
  readonly subsets?: Readonly<Record<string, number>> | undefined;
}

/**
 * The sources of files: each subset with a share is a source of its own, and the other examples of a file are one.
 *
 * @throws LapidaryError `LAP_EXAMPLE_MIXTURE` for a subset that the file does not have
 */
export function mixtureSources<T extends { readonly subset?: string | undefined }>(
  files: readonly MixtureFile<T>[],
): readonly (MixtureSource & { readonly items: readonly T[] })[] {
  return files.flatMap(({ name, items, share, subsets = {} }) => {
    const known = new Set(items.flatMap(({ subset }) => (subset === undefined ? [] : [subset])));
    for (const subset of Object.keys(subsets)) if (!known.has(subset)) throw unknownSubset(name, subset, known);
    const rest = items.filter(({ subset }) => subset === undefined || !Object.hasOwn(subsets, subset));
    const own = Object.entries(subsets).map(([subset, subsetShare]) => {
      const tagged = items.filter((item) => item.subset === subset);
      return { name: `${name}#${subset}`, items: tagged, size: tagged.length, share: subsetShare };
    });
    return rest.length === 0 && own.length > 0 ? own : [{ name, items: rest, size: rest.length, share }, ...own];
  });
}
