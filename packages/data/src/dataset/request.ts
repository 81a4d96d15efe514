import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { checkVocabSize, hashOfTokenizer, readTokenizerFiles } from "@lapidary/tokenizer";
import { type CorpusSpec, corpusPath } from "../corpus/corpus-spec.js";
import { listCorpusFiles } from "../corpus/list-files.js";
import { badSetting, missingCorpus } from "../data-errors.js";

/** The inputs that determine the contents of a dataset. */
export interface DatasetRequest {
  readonly corpus: CorpusSpec;
  readonly tokenizer: TokenizerRequest;
  /** Fraction of the text that is held out, above 0 and at most ½. */
  readonly heldOutFraction: number;
}

export type TokenizerRequest =
  /** Trained on the training split, with `vocabSize` ids. */
  | { readonly kind: "train"; readonly vocabSize: number }
  /** The tokenizer of a checkpoint: a directory, or a file. */
  | { readonly kind: "given"; readonly path: string };

/** Part of every key. Increase it if a change of the code changes the tokens of a corpus, so that cached datasets are prepared again. */
const codeVersion = 3;

/** @throws LapidaryError `LAP_DATA_SETTING` */
export function checkRequest({ tokenizer, heldOutFraction }: DatasetRequest): void {
  if (tokenizer.kind === "train") checkVocabSize(tokenizer.vocabSize);
  if (!(heldOutFraction > 0 && heldOutFraction <= 0.5))
    throw badSetting("data.held_out", heldOutFraction, "it must be above 0 and at most 0.5");
}

/**
 * The name of the dataset of a request: a hash of values that change with the corpus. For installed packages it hashes the lock file.
 * For files it hashes paths, sizes, times, targets of links and the numbers of skipped files. It also hashes the content of a given tokenizer.
 *
 * @throws LapidaryError `LAP_DATA_MISSING`, `LAP_DATA_UNREADABLE`, `LAP_DATA_EMPTY`, `LAP_DATA_TOO_LARGE`, `LAP_CHECKPOINT_TOKENIZER`
 */
export function datasetKey(request: DatasetRequest): string {
  const { corpus, tokenizer, heldOutFraction } = request;
  const ids = tokenizer.kind === "train" ? tokenizer.vocabSize : hashOfTokenizer(readTokenizerFiles(tokenizer.path));
  const canonical = JSON.stringify([codeVersion, corpus, ids, heldOutFraction, fingerprint(corpus)]);
  return createHash("sha256").update(canonical).digest("hex").slice(0, 32);
}

function fingerprintOfFiles(path: string): unknown {
  const { files, skipped } = listCorpusFiles(path);
  const listed = files.map(({ source, bytes, modified_ms, target = "" }) => [source, bytes, modified_ms, target]);
  return [realpathSync.native(path), listed, skipped];
}

function fingerprint(corpus: CorpusSpec): unknown {
  if (corpus.kind === "path") return fingerprintOfFiles(corpus.path);
  if (!existsSync(corpus.directory)) throw missingCorpus(corpusPath(corpus), undefined);
  // The record of npm about the installed packages, else the lock file.
  const locks = [join(corpus.directory, ".package-lock.json"), join(dirname(corpus.directory), "package-lock.json")];
  const lock = locks.find((path) => existsSync(path));
  return lock === undefined
    ? listCorpusFiles(corpus.directory).files.map(({ source, bytes }) => [source, bytes])
    : createHash("sha256").update(readFileSync(lock)).digest("hex");
}
