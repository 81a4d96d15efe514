import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type CorpusSpec, placeOf } from "../corpus/corpus-spec.js";
import { listCorpusFiles } from "../corpus/path-corpus.js";
import { badSetting, missingCorpus } from "../data-errors.js";
import { firstPieceId, maxVocabSize, vocabSizeKey } from "../tokenizer/vocabulary.js";

/** All that decides what a dataset holds. */
export interface DatasetRequest {
  readonly corpus: CorpusSpec;
  /** Ids of the tokenizer, trained on the training split: the vocabulary of the model. */
  readonly vocabSize: number;
  /** Share of the text that is held out, above 0 and at most ½. */
  readonly heldOutFraction: number;
}

/** Raise it whenever the same corpus would give other tokens than before: what was cached then counts no more. */
const codeVersion = 2;

/** @throws LapidaryError `LAP_DATA_SETTING` */
export function checkRequest({ vocabSize, heldOutFraction }: DatasetRequest): void {
  if (!Number.isInteger(vocabSize) || vocabSize < firstPieceId || vocabSize > maxVocabSize)
    throw badSetting(
      vocabSizeKey,
      vocabSize,
      `it must be a whole number from ${firstPieceId} (the control and byte tokens) to ${maxVocabSize}`,
    );
  if (!(heldOutFraction > 0 && heldOutFraction <= 0.5))
    throw badSetting("data.held_out", heldOutFraction, "it must be above 0 and at most 0.5");
}

/**
 * The name of the dataset that a request gives, from what tells cheaply that a corpus changed: of installed packages the
 * lock file, of files their paths, sizes and times.
 *
 * @throws LapidaryError `LAP_DATA_MISSING`, `LAP_DATA_UNREADABLE`, `LAP_DATA_EMPTY`, `LAP_DATA_TOO_LARGE`
 */
export function datasetKey(request: DatasetRequest): string {
  const { corpus, vocabSize, heldOutFraction } = request;
  const told = JSON.stringify([codeVersion, corpus, vocabSize, heldOutFraction, fingerprint(corpus)]);
  return createHash("sha256").update(told).digest("hex").slice(0, 32);
}

function fingerprint(corpus: CorpusSpec): unknown {
  if (corpus.kind === "path") return listCorpusFiles(corpus.path).map(({ source, bytes, modified_ms }) => [source, bytes, modified_ms]);
  if (!existsSync(corpus.directory)) throw missingCorpus(placeOf(corpus), undefined);
  // npm's own record of what it installed, else the lock file it installed from.
  const locks = [join(corpus.directory, ".package-lock.json"), join(dirname(corpus.directory), "package-lock.json")];
  const lock = locks.find((path) => existsSync(path));
  return lock === undefined
    ? listCorpusFiles(corpus.directory, { links: false }).map(({ source, bytes }) => [source, bytes])
    : createHash("sha256").update(readFileSync(lock)).digest("hex");
}
