import { counted, type ErrorCode, formatBytes, LapidaryError } from "@lapidary/std";
import { skippedText } from "./corpus/document.js";

/** The errors about a corpus or a dataset: one function each. The codes never change. */

export function missingCorpus(path: string, near: string | undefined): LapidaryError {
  return usage(
    "LAP_DATA_MISSING",
    `corpus ${path} not found`,
    path,
    near === undefined || isPattern(path)
      ? (remedyForPath(path) ?? "check the spelling: this is the absolute path")
      : near.normalize("NFC") === path.normalize("NFC")
        ? `name ${near}: its letters are in another form of Unicode (NFC or NFD); the shell completes it with Tab`
        : `did you mean ${near}?`,
  );
}

export function danglingCorpus(path: string, target: string): LapidaryError {
  return usage(
    "LAP_DATA_MISSING",
    `the corpus ${path} is a link to ${target}, which does not exist`,
    path,
    "name the file itself, or correct the link",
  );
}

const isPattern = (path: string): boolean => /[*?]|\{.*,.*\}/.test(path);

/** A remedy for a path that looks like a URL, a home directory or a pattern. */
function remedyForPath(path: string): string | undefined {
  const scheme = /(?:^|\/)([a-z][a-z0-9+.-]+):\/(?!\/*$)/.exec(path)?.[1];
  if (scheme === "file") return "write the path alone, without `file://`";
  if (scheme !== undefined)
    return `addresses (${scheme}://) are not read: download the text first, and name the file or directory in data.corpus`;
  if (/(^|\/)~/.test(path)) return "`~` is not expanded in a job file: write the whole path of your home directory";
  if (isPattern(path)) return "patterns are not expanded: name the directory: all its files are read";
  return undefined;
}

/** Maximum number of entries that a message lists. */
const maxListedEntries = 20;

/** @param entries of a directory that the user may not read; directories end with a slash */
export function unreadableEntries(directory: string, entries: readonly string[]): LapidaryError {
  const named = entries.slice(0, maxListedEntries).join(", ");
  const more = entries.length > maxListedEntries ? ` and ${entries.length - maxListedEntries} more` : "";
  return usage(
    "LAP_DATA_UNREADABLE",
    `cannot read ${counted(entries.length, "entry", "entries")} of the corpus: permission denied for ${named}${more}`,
    directory,
    `make them readable: \`chmod -R u+rX '${directory.replaceAll("'", "'\\''")}'\`, as their owner; or exclude them: move them out of the directory, or rename each so that its name starts with a dot`,
  );
}

/** @param skipped number of skipped entries, by reason */
export function emptyCorpus(path: string, why: string, skipped: Readonly<Record<string, number>> = {}): LapidaryError {
  const listed = skippedText(skipped);
  return usage(
    "LAP_DATA_EMPTY",
    `the corpus is empty: ${why}${listed === "" ? "" : ` (skipped: ${listed})`}`,
    path,
    "name a file, directory or JSONL with text, or use the corpus `node_modules`",
  );
}

/**
 * @param encoding that the bytes look like; undefined if they do not look like text
 * @param unpack the command that decompresses the file to standard output; undefined for a plain file
 */
export function notUtf8(path: string, byteOffset: number, encoding: string | undefined, unpack?: string): LapidaryError {
  const convert = (options: string): string => {
    const file = `'${path.replaceAll("'", "'\\''")}'`;
    return unpack === undefined ? `\`iconv ${options} ${file} > NEW_FILE\`` : `\`${unpack} < ${file} | iconv ${options} > NEW_FILE\``;
  };
  return usage(
    "LAP_DATA_NOT_UTF8",
    `${path} is not UTF-8: the byte at offset ${byteOffset} does not start a character`,
    `${path}, byte ${byteOffset}`,
    encoding === undefined
      ? `name a file of text; if it is text in another encoding, convert it with ${convert("-f ENCODING -t UTF-8")}`
      : encoding === "UTF-8"
        ? `it looks like truncated or damaged UTF-8: fetch it again, or drop the broken bytes with ${convert("-c -f UTF-8 -t UTF-8")}`
        : `it looks like ${encoding}: convert it with ${convert(`-f ${encoding} -t UTF-8`)}, and name NEW_FILE`,
  );
}

export function notText(path: string, why: string, remedy: string): LapidaryError {
  return usage("LAP_DATA_NOT_TEXT", `${path} cannot be read as text: ${why}`, path, remedy);
}

export function badArchive(path: string, kind: string, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_DATA_ARCHIVE",
    message: `${path} is a damaged ${kind} file: ${cause instanceof Error ? cause.message : String(cause)}`,
    location: path,
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

/** @param size of the text; undefined for a compressed file that was not fully decompressed */
export function corpusTooLarge(path: string, bytes: number | undefined, limitBytes: number): LapidaryError {
  return usage(
    "LAP_DATA_TOO_LARGE",
    `${path} has ${bytes === undefined ? "decompressed" : `${formatBytes(bytes)},`} more than the maximum of ${formatBytes(limitBytes)}`,
    path,
    "split it into several files, or name a smaller part of it",
  );
}

export function indivisibleCorpus(place: string): LapidaryError {
  return usage(
    "LAP_DATA_TOO_SMALL",
    "the corpus is too small for a held-out split",
    place,
    "add text: at least two documents are needed, some hundred bytes each",
  );
}

export function nothingHeldOut(place: string, source: string, documents: number, fraction: number): LapidaryError {
  return usage(
    "LAP_DATA_TOO_SMALL",
    `the source ${source} has ${counted(documents, "document")}, and the hash of none is in the held-out ${fraction * 100} %`,
    place,
    "raise data.held_out, or add documents to the source",
  );
}

export function tooSmallForBatch(place: string, rows: number, batch: number, seq: number): LapidaryError {
  return usage(
    "LAP_DATA_TOO_SMALL",
    `the corpus is too small for one batch: its training text fills ${counted(rows, "row")} of ${counted(seq, "token")}, and a batch has ${batch}`,
    place,
    "add text, or lower train.batch or train.seq",
  );
}

export function badSetting(key: string, value: unknown, must: string): LapidaryError {
  return usage("LAP_DATA_SETTING", `${key} is ${String(value)}, but ${must}`, key, `choose another ${key}`);
}

export function badDataset(place: string, why: string): LapidaryError {
  return usage("LAP_DATA_DATASET", `the dataset is incomplete: ${why}`, place, "delete the directory: the next run prepares it again");
}

function usage(code: ErrorCode, message: string, location: string, remedy: string): LapidaryError {
  return new LapidaryError({ code, message, location, remedy });
}
