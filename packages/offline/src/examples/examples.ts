import { statSync } from "node:fs";
import { resolve } from "node:path";
import {
  byteTokenizer,
  type ChatTokenizer,
  chatTokenizer,
  type Document,
  type Example,
  type ExampleFile,
  encodeExamples,
  encodeForTuning,
  encodePair,
  encodePrompt,
  type FormatName,
  formatNamed,
  readExamples,
  type RefusedRow,
  showRow,
  shownTokens,
  trainingRow,
} from "@lapidary/data";
import { counted, LapidaryError } from "@lapidary/std";
import { hasTokenizer, readTokenizer } from "@lapidary/tokenizer";
import { resolveCheckpoint } from "../checkpoints/resolve-checkpoint.js";
import type { Directories } from "../directories.js";

/** What a file of examples contains. */
export interface ExampleCounts {
  readonly file: string;
  /** Undefined if no row has a format. */
  readonly format: FormatName | undefined;
  /** Whether the keys of the rows decided the format. */
  readonly isDetected: boolean;
  readonly rows: number;
  readonly examples: number;
  /** Examples of each subset. An example without a subset is not counted here. */
  readonly subsets: Readonly<Record<string, number>>;
  readonly refused: readonly RefusedRow[];
}

/** A sequence of tokens that training makes of an example. */
interface ShownDocument {
  readonly name: "document" | "chosen" | "rejected" | "prompt";
  readonly ids: readonly number[];
  readonly pieces: readonly string[];
  /** 1: the token is trained. */
  readonly mask: readonly (0 | 1)[];
  /** The same as a table. */
  readonly table: string;
}

interface ShownRow {
  readonly row: number;
  readonly kind: Example["kind"];
  readonly subset: string | undefined;
  readonly documents: readonly ShownDocument[];
}

export interface ShownExamples extends ExampleCounts {
  /** The directory of the tokenizer; undefined for the tokenizer of bytes. */
  readonly tokenizer: string | undefined;
  readonly vocabSize: number;
  readonly shown: readonly ShownRow[];
  /** Requested rows that cannot be shown: they are refused, or their text cannot be encoded. */
  readonly notShown: readonly RefusedRow[];
}

export interface ExamplesRequest {
  readonly file: string;
  readonly format: string | undefined;
}

export interface ShowRequest extends ExamplesRequest {
  /** A directory with a tokenizer, or a run. */
  readonly tokenizer: string | undefined;
  /** The first and the last row; by default the first example. */
  readonly rows: readonly [number, number] | undefined;
}

/**
 * Reads a file of examples and counts its rows.
 *
 * @throws LapidaryError `LAP_DATA_…` for the file, `LAP_EXAMPLE_FORMAT` for an unknown format
 */
export const checkExamples = (directories: Pick<Directories, "cwd">, request: ExamplesRequest): ExampleCounts =>
  read(directories, request).counts;

/**
 * The tokens of some rows of a file of examples.
 *
 * @throws LapidaryError as `checkExamples`; `LAP_EXAMPLE_ROW` if the file has no such row; the errors of tokenizers
 */
export async function showExamples(
  directories: Pick<Directories, "cwd" | "home">,
  { tokenizer: from, rows, ...request }: ShowRequest,
): Promise<ShownExamples> {
  const { directory, tokenizer } = await tokenizerOf(directories, from);
  const { file, counts } = read(directories, request);
  const [first, last] = rows ?? firstExample(file);
  const isWanted = ({ row }: { readonly row: number }): boolean => row >= first && row <= last;
  const wanted = file.examples.filter(isWanted);
  const { encoded, refused } = encodeExamples(wanted, (example) => shownRow(example, tokenizer));
  const notShown = [...file.refused.filter(isWanted), ...refused].sort((a, b) => a.row - b.row);
  if (rows !== undefined && encoded.length + notShown.length === 0) throw noSuchRow(file, rows);
  return { ...counts, tokenizer: directory, vocabSize: tokenizer.vocabSize, shown: encoded, notShown };
}

function read({ cwd }: Pick<Directories, "cwd">, { file: path, format }: ExamplesRequest): { file: ExampleFile; counts: ExampleCounts } {
  const options = format === undefined ? {} : { format: formatNamed(format) };
  const file = readExamples(resolve(cwd, path), options);
  const subsets: Record<string, number> = {};
  for (const { subset } of file.examples) if (subset !== undefined) subsets[subset] = (subsets[subset] ?? 0) + 1;
  return {
    file,
    counts: {
      file: path,
      format: file.format,
      isDetected: format === undefined,
      rows: file.examples.length + file.refused.length,
      examples: file.examples.length,
      subsets,
      refused: file.refused,
    },
  };
}

/** A file or directory with a tokenizer, or the last checkpoint of a run. */
async function tokenizerOf(
  directories: Pick<Directories, "cwd" | "home">,
  from: string | undefined,
): Promise<{ directory: string | undefined; tokenizer: ChatTokenizer }> {
  if (from === undefined) return { directory: undefined, tokenizer: byteTokenizer };
  const path = resolve(directories.cwd, from);
  const isGiven = statSync(path, { throwIfNoEntry: false })?.isFile() === true || hasTokenizer(path);
  const directory = isGiven ? path : (await resolveCheckpoint(directories, from)).directory;
  return { directory, tokenizer: chatTokenizer(readTokenizer(directory).tokenizer) };
}

/** An empty range if the file has no example. */
function firstExample({ examples: [first] }: ExampleFile): readonly [number, number] {
  return first === undefined ? [1, 0] : [first.row, first.row];
}

function shownRow(example: Example, tokenizer: ChatTokenizer): ShownRow {
  return { row: example.row, kind: example.kind, subset: example.subset, documents: documentsOf(example, tokenizer) };
}

/** No row is too long to be shown. */
const seq = 2 ** 30;

function documentsOf(example: Example, tokenizer: ChatTokenizer): readonly ShownDocument[] {
  const show = (name: ShownDocument["name"], document: Pick<Document, "ids" | "mask">): ShownDocument => {
    const row = trainingRow([{ ...example, ...document }], document.ids.length);
    const tokens = shownTokens(row, tokenizer);
    return {
      name,
      ids: tokens.map(({ id }) => id),
      pieces: tokens.map(({ piece }) => piece),
      mask: tokens.map(({ isTrained }) => (isTrained ? 1 : 0)),
      table: showRow(row, tokenizer),
    };
  };
  switch (example.kind) {
    case "preference": {
      const { chosen, rejected } = encodePair(example, tokenizer, { seq });
      return [show("chosen", chosen), show("rejected", rejected)];
    }
    case "prompt": {
      const { ids } = encodePrompt(example, tokenizer, { seq });
      return [show("prompt", { ids, mask: new Uint8Array(ids.length) })];
    }
    default:
      return encodeForTuning(example, tokenizer, { seq }).map((document) => show("document", document));
  }
}

function noSuchRow({ file, examples, refused }: ExampleFile, [first, last]: readonly [number, number]): LapidaryError {
  const rows = [...examples, ...refused].map(({ row }) => row);
  const greatest = rows.reduce((a, b) => Math.max(a, b), 0);
  return new LapidaryError({
    code: "LAP_EXAMPLE_ROW",
    message: `the file has no row ${first === last ? first : `${first} to ${last}`}: it has ${counted(rows.length, "row")}`,
    location: file,
    remedy: greatest === 0 ? "name a file with rows" : `rows are counted from 1, as lines of the file are; the last row is ${greatest}`,
  });
}
