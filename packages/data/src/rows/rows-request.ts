import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { canonicalJson, asJson } from "@lapidary/std";
import { hashOfTokenizer, readTokenizerFiles } from "@lapidary/tokenizer";
import { unreadable } from "@lapidary/readers";
import { missingCorpus } from "../data-errors.js";
import type { FilterName } from "../examples/filters.js";

/** A file of examples. */
export interface RowsFile {
  readonly path: string;
  /** Share of the documents of an epoch; by default each example is used once an epoch. */
  readonly share?: number | undefined;
  /** The format of the rows; their keys decide by default. */
  readonly format?: string | undefined;
  /** Only the rows with this tag. Other entries of the same file that name no subset have the other rows. */
  readonly subset?: string | undefined;
}

/** The inputs that determine the contents of a dataset of rows. */
export interface RowsRequest {
  readonly train: readonly RowsFile[];
  /** By default a share of the training examples is held out. */
  readonly evaluation?: readonly Omit<RowsFile, "share">[] | undefined;
  /** Fraction of the training examples that is held out if `evaluation` is absent. */
  readonly heldOutFraction: number;
  readonly filters: readonly FilterName[];
  /** Whether a row has several documents. */
  readonly pack: boolean;
  /** Tokens of a row. */
  readonly seq: number;
  /** The directory of a checkpoint, or a file: the tokenizer. */
  readonly tokenizer: string;
}

/** Part of every key. Increase it if a change of the code changes the documents of a request. */
const codeVersion = 1;

/** The name of the dataset of a request: a hash of the settings and of the contents of all files. */
export function rowsKey(request: RowsRequest): string {
  const { train, evaluation = [], tokenizer, ...settings } = request;
  const paths = [...new Set([...train, ...evaluation].map(({ path }) => path))].sort();
  const contents = paths.map((path) => [path, hashOfFile(path)]);
  const canonical = canonicalJson(
    asJson({ codeVersion, train, evaluation, settings, contents, tokenizer: hashOfTokenizer(readTokenizerFiles(tokenizer)) }),
  );
  return createHash("sha256").update(canonical).digest("hex").slice(0, 32);
}

function hashOfFile(path: string): string {
  try {
    return createHash("sha256").update(readFileSync(path)).digest("hex");
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code === "ENOENT" ? missingCorpus(path, undefined) : unreadable(path, cause);
  }
}
