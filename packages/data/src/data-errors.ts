import { ExitCode, formatBytes, LapidaryError } from "@lapidary/std";
import { guessEncoding } from "./corpus/encoding.js";

/** Every mistake that a user can make with a corpus, a tokenizer or a dataset: one function each, its code for ever. */

export function missingCorpus(path: string, near: string | undefined): LapidaryError {
  return usage(
    "LAP_DATA_MISSING",
    `there is no corpus at ${path}`,
    path,
    near === undefined ? "check the spelling: this is the absolute path that was looked for" : `did you mean ${near}?`,
  );
}

export function unreadable(path: string, cause: unknown): LapidaryError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new LapidaryError({
    code: "LAP_DATA_UNREADABLE",
    message: `cannot read ${path}: ${reason}`,
    place: path,
    remedy: "check that it is a readable file or directory",
    exit: ExitCode.usage,
    cause,
  });
}

/** @param leftOut what was left out and why, for people */
export function emptyCorpus(path: string, why: string, leftOut = ""): LapidaryError {
  return usage(
    "LAP_DATA_EMPTY",
    `the corpus is empty: ${why}${leftOut === "" ? "" : ` (left out: ${leftOut})`}`,
    path,
    "name a file, directory or JSONL that holds text, or use the corpus `node_modules`",
  );
}

/** @param bytes of the file, for a guess at its encoding */
export function notUtf8(path: string, bytes: Uint8Array, byteOffset: number): LapidaryError {
  const { what, remedy } = guessEncoding(bytes, byteOffset, path);
  return usage(
    "LAP_DATA_NOT_UTF8",
    `${path} is not UTF-8: the byte at offset ${byteOffset} starts no character; ${what}`,
    `${path}, byte ${byteOffset}`,
    remedy,
  );
}

/** A file of a known kind that has no reader. */
export function foreignFile(path: string, kind: string, remedy: string): LapidaryError {
  return usage("LAP_DATA_FORMAT", `${path} is ${kind}; a corpus is UTF-8 text or JSONL, as it is or in gzip`, path, remedy);
}

export function damagedFile(path: string, why: string): LapidaryError {
  return usage("LAP_DATA_DAMAGED", `${path} is damaged: ${why}`, path, "fetch or write the file again; `gzip -t` checks a gzip file");
}

export function textWithNul(path: string, byteOffset: number): LapidaryError {
  return usage(
    "LAP_DATA_BINARY",
    `${path} is not text: the byte at offset ${byteOffset} is NUL`,
    `${path}, byte ${byteOffset}`,
    "name a file of UTF-8 text; if it is a text with stray NUL bytes, take them off with `tr -d '\\000' < FILE > corpus.txt`",
  );
}

/** A corpus that is given as a pattern of names. */
export function corpusPattern(path: string): LapidaryError {
  return usage(
    "LAP_DATA_MISSING",
    `there is no file with the name ${path}; a corpus is one path, patterns such as \`*.txt\` are not expanded`,
    path,
    "name the directory: all files below it are read; to choose some, link or copy them into a directory of their own",
  );
}

/** A corpus that is given as the address of something elsewhere. */
export function corpusAddress(address: string, place: string): LapidaryError {
  return usage(
    "LAP_DATA_ADDRESS",
    `${address} is the address of a corpus elsewhere; a corpus is read from a file or directory of this machine`,
    place,
    "fetch it first (`curl -O`, `aws s3 cp`, `gsutil cp` or `hf download`) and set `data.corpus` to the path of the file",
  );
}

export function badJsonLine(path: string, line: number, why: string, remedy?: string): LapidaryError {
  return usage(
    "LAP_DATA_JSONL",
    `line ${line} of ${path} ${why}`,
    `${path}:${line}`,
    remedy ?? 'every line must be a JSON object with a string in its text field, as in {"text": "…"}; `data.text_field` names the field',
  );
}

/** @param bytes that it holds; undefined when nobody counted on after the limit */
export function corpusTooLarge(path: string, bytes: number | undefined, limitBytes: number): LapidaryError {
  return usage(
    "LAP_DATA_TOO_LARGE",
    `${path} holds ${bytes === undefined ? "unpacked more" : `${formatBytes(bytes)}, more`} than the ${formatBytes(limitBytes)} that fit`,
    path,
    "split it into several files, or name a smaller part of it",
  );
}

export function indivisibleCorpus(place: string): LapidaryError {
  return usage(
    "LAP_DATA_TOO_SMALL",
    "the corpus is too small to hold any text out for evaluation",
    place,
    "add text: at least two documents are needed, some hundred bytes each",
  );
}

export function tooSmallForBatch(place: string, rows: number, batch: number, seq: number): LapidaryError {
  return usage(
    "LAP_DATA_TOO_SMALL",
    `the corpus is too small for one batch: its training text fills ${rows} row${rows === 1 ? "" : "s"} of ${seq} tokens, a batch takes ${batch}`,
    place,
    "add text, or lower train.batch or train.seq",
  );
}

/** @param key as the job file has it, or several that set the same */
export function badSetting(key: string, value: unknown, must: string): LapidaryError {
  return usage("LAP_DATA_SETTING", `${key} is ${String(value)}, but ${must}`, key, `choose a value of ${key} for which that holds`);
}

export function badTokenizer(place: string, why: string): LapidaryError {
  return usage(
    "LAP_DATA_TOKENIZER",
    `this is no tokenizer of ours: ${why}`,
    place,
    "train it again, or name the tokenizer.json that belongs to the run",
  );
}

export function unknownTokenId(id: number, vocabSize: number): LapidaryError {
  return usage(
    "LAP_DATA_TOKEN_ID",
    `token ${id} is outside of the vocabulary of ${vocabSize}`,
    `token ${id}`,
    "use the tokenizer that the model was trained with",
  );
}

export function badDataset(place: string, why: string): LapidaryError {
  return usage(
    "LAP_DATA_DATASET",
    `this is no complete dataset: ${why}`,
    place,
    "delete the directory: it is prepared again when it is next needed",
  );
}

function usage(code: string, message: string, place: string, remedy: string): LapidaryError {
  return new LapidaryError({ code, message, place, remedy, exit: ExitCode.usage });
}
