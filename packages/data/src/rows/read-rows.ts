import { createHash } from "node:crypto";
import type { Clock } from "@lapidary/std";
import type { Example, RefusedRow } from "../examples/example.js";
import { type ExampleFilter, type FilterResult, filterExamples, filtersNamed } from "../examples/filters.js";
import { formatNamed, readExamples, requireExamples } from "../examples/read-examples.js";
import { indivisibleExamples, unknownSubset } from "../examples/example-errors.js";
import type { RowsFile, RowsRequest } from "./rows-request.js";

/** The training examples of one entry of a request. */
interface RowsSource {
  readonly name: string;
  readonly share?: number | undefined;
  readonly examples: readonly Example[];
}

/** All examples of a request, before they are encoded. */
export interface RowsExamples {
  readonly sources: readonly RowsSource[];
  readonly heldout: readonly Example[];
  readonly refused: readonly RefusedRow[];
  readonly reports: FilterResult["reports"];
}

const filterClock: Pick<Clock, "monotonic"> = { monotonic: () => performance.now() };

/**
 * Reads and filters the examples of a request, and holds out the evaluation set.
 *
 * @throws LapidaryError `LAP_DATA_…` for a file, `LAP_EXAMPLE_NONE` for a file without examples, `LAP_EXAMPLE_MIXTURE` for an unknown subset,
 *   `LAP_DATA_TOO_SMALL` if no example remains for training or evaluation
 */
export function readRows({ train, evaluation, heldOutFraction, filters }: RowsRequest): RowsExamples {
  const evaluated = (evaluation ?? []).map((entry) => readEntry(entry, []));
  const given = evaluated.flatMap(({ examples }) => examples);
  const read = train.map((entry) => ({ entry, ...readEntry(entry, train) }));
  // One filter of duplicates sees the examples of all files.
  const chain: readonly ExampleFilter[] = filtersNamed(filters, given);
  const { kept, refused, reports } = filterExamples(
    read.flatMap(({ examples }) => examples),
    chain,
    filterClock,
  );
  const remaining = new Set(kept);
  const held = evaluation === undefined ? heldOut(kept, heldOutFraction) : new Set<Example>();
  const sources = read.map(({ entry, examples }) => ({
    name: nameOf(entry),
    share: entry.share,
    examples: examples.filter((example) => remaining.has(example) && !held.has(example)),
  }));
  const heldout = evaluation === undefined ? kept.filter((example) => held.has(example)) : given;
  // A file that several entries name is read once for each, and its refused rows are reported once.
  const unread = new Map([...evaluated, ...read].flatMap((file) => file.refused.map((row) => [`${row.row} ${row.file}`, row])));
  return { sources, heldout, refused: [...unread.values(), ...refused], reports };
}

const nameOf = ({ path, subset }: RowsFile): string => (subset === undefined ? path : `${path}#${subset}`);

/** The examples of one entry: those of its subset, or those of no subset that another entry of the file names. */
function readEntry(
  { path, format, subset }: RowsFile,
  all: readonly RowsFile[],
): { readonly examples: readonly Example[]; readonly refused: readonly RefusedRow[] } {
  const file = readExamples(path, format === undefined ? {} : { format: formatNamed(format) });
  requireExamples(file);
  const tags = new Set(file.examples.flatMap((example) => (example.subset === undefined ? [] : [example.subset])));
  if (subset !== undefined && !tags.has(subset)) throw unknownSubset(path, subset, tags);
  const others = new Set(all.flatMap((entry) => (entry.path === path && entry.subset !== undefined ? [entry.subset] : [])));
  const isOwn = (example: Example): boolean =>
    subset === undefined ? example.subset === undefined || !others.has(example.subset) : example.subset === subset;
  return { examples: file.examples.filter(isOwn), refused: file.refused };
}

/** The examples with the least hashes. Equal examples have equal hashes, so they are in one split. */
function heldOut(examples: readonly Example[], fraction: number): ReadonlySet<Example> {
  const hashed = examples.map((example) => {
    const { file: _, row: __, ...content } = example;
    return { example, hash: createHash("sha256").update(JSON.stringify(content)).digest("hex") };
  });
  const order = [...new Set(hashed.map(({ hash }) => hash))].sort();
  if (order.length < 2) throw indivisibleExamples(examples[0]?.file ?? "data.train", order.length);
  const chosen = new Set(order.slice(0, Math.max(1, Math.floor(order.length * fraction))));
  return new Set(hashed.flatMap(({ example, hash }) => (chosen.has(hash) ? [example] : [])));
}
