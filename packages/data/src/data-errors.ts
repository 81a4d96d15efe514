import { ExitCode, formatBytes, LapidaryError } from "@lapidary/std";

/** Every mistake that a user can make with a corpus, a tokenizer or a dataset: one function each, its code for ever. */

export function missingCorpus(path: string, near: string | undefined): LapidaryError {
  return usage(
    "LAP_DATA_MISSING",
    `there is no corpus at ${path}`,
    path,
    near === undefined
      ? (remedyForPath(path) ?? "check the spelling: this is the absolute path that was looked for")
      : `did you mean ${near}?`,
  );
}

/** What a path that names no file was perhaps meant to be. */
function remedyForPath(path: string): string | undefined {
  const scheme = /(?:^|\/)([a-z][a-z0-9+.-]+):\/(?!\/*$)/.exec(path)?.[1];
  if (scheme === "file") return "write the path alone, without `file://`";
  if (scheme !== undefined)
    return `addresses (${scheme}://) are not read: download the text first, and name the file or directory in data.corpus`;
  if (/(^|\/)~/.test(path)) return "`~` is not expanded in a job file: write the whole path of your home directory";
  if (/[*?]|\{.*,.*\}/.test(path)) return "patterns are not expanded: name the directory, whose files are all read";
  return undefined;
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

export function emptyCorpus(path: string, why: string): LapidaryError {
  return usage(
    "LAP_DATA_EMPTY",
    `the corpus is empty: ${why}`,
    path,
    "name a file, directory or JSONL that holds text, or use the corpus `node_modules`",
  );
}

/** @param encoding of an 8-bit text that the bytes look like; undefined where they look like no text */
export function notUtf8(path: string, byteOffset: number, encoding: string | undefined): LapidaryError {
  return usage(
    "LAP_DATA_NOT_UTF8",
    `${path} is not UTF-8: the byte at offset ${byteOffset} starts no character`,
    `${path}, byte ${byteOffset}`,
    encoding === undefined
      ? "name a file of text; if it is text in another encoding, convert it with `iconv -f ENCODING -t UTF-8 FILE > NEW_FILE`"
      : `it looks like ${encoding}: convert it with \`iconv -f ${encoding} -t UTF-8 '${path}' > NEW_FILE\`, and name NEW_FILE`,
  );
}

export function notText(path: string, why: string, remedy: string): LapidaryError {
  return usage("LAP_DATA_NOT_TEXT", `${path} cannot be read as text: ${why}`, path, remedy);
}

export function badArchive(path: string, kind: string, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_DATA_ARCHIVE",
    message: `${path} is a damaged ${kind} file: ${cause instanceof Error ? cause.message : String(cause)}`,
    place: path,
    remedy: "fetch the file again: it was cut off or changed on its way",
    exit: ExitCode.usage,
    cause,
  });
}

export function badJsonLine(path: string, line: number, why: string, remedy?: string): LapidaryError {
  return usage(
    "LAP_DATA_JSONL",
    `line ${line} of ${path} ${why}`,
    `${path}:${line}`,
    remedy ?? 'every line must be a JSON object with a string in its text field, as in {"text": "…"}; data.text_field names the field',
  );
}

export function corpusTooLarge(path: string, bytes: number, limitBytes: number): LapidaryError {
  return usage(
    "LAP_DATA_TOO_LARGE",
    `${path} holds ${formatBytes(bytes)}, more than the ${formatBytes(limitBytes)} that fit`,
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

export function badSetting(key: string, value: unknown, must: string): LapidaryError {
  return usage("LAP_DATA_SETTING", `${key} is ${String(value)}, but ${must}`, key, `choose a ${key} for which that holds`);
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
