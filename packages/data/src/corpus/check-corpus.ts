import { existsSync } from "node:fs";
import { emptyCorpus, missingCorpus } from "../data-errors.js";
import { type CorpusFile, isJsonLines, readHead, refuseJsonValue, whyNoText } from "./corpus-file.js";
import type { CorpusSpec } from "./corpus-spec.js";
import { readJsonLines } from "./jsonl.js";
import { isLone, listCorpusFiles } from "./path-corpus.js";
import { isGzip, type Unpacked, unpackedHead } from "./unpack.js";

/** So many bytes of a file are looked at. */
const headBytes = 1 << 16;
/** So many files of a directory are looked at. */
const filesAtMost = 64;

/**
 * Checks what can be known of a corpus without reading it whole: it exists, can be read, holds something, and its first bytes are of
 * a kind that has a reader. A corpus that passes can still be refused when it is read.
 *
 * @throws LapidaryError the error that reading the corpus would end with
 */
export function checkCorpus(spec: CorpusSpec): void {
  if (spec.kind === "node_modules") {
    if (!existsSync(spec.directory)) throw missingCorpus(spec.directory, undefined);
    return;
  }
  const files = listCorpusFiles(spec.path);
  const lone = isLone(spec.path, files);
  if (files.every(({ bytes }) => bytes === 0))
    throw emptyCorpus(spec.path, lone ? "the file holds no text" : "none of its files holds text");
  const looked = files.filter(({ bytes }) => bytes > 0).slice(0, filesAtMost);
  const reasons = looked.map((file) => checkFile(file, lone, spec.textField));
  if (files.length <= filesAtMost && reasons.every((reason) => reason !== undefined))
    throw emptyCorpus(spec.path, "none of its files holds text", [...new Set(reasons)].join(", "));
}

/** Why a file of a directory would be left out. */
function checkFile(file: CorpusFile, lone: boolean, textField: string): string | undefined {
  if (!lone && !canRead(file)) return "file that cannot be read";
  const head = readHead(file.path, headBytes);
  const content = unpackedHead(head, file.path);
  const whole = file.bytes <= head.length;
  const reason = whyNoText(content, file.path, lone);
  if (reason !== undefined || content.bytes.length === 0) return reason;
  const lines = wholeLines(content, whole && !isGzip(head));
  if (isJsonLines(content, textField)) {
    for (const { text } of readJsonLines(lines, file.path, textField)) if (text !== undefined) break;
  } else if (lone && (whole || !content.name.endsWith(".json"))) refuseJsonValue(content, file.path);
  return undefined;
}

/** The head up to its last line end: what follows may be cut off inside a character. */
function wholeLines({ bytes }: Unpacked, isWhole: boolean): Buffer {
  return isWhole ? bytes : bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
}

function canRead(file: CorpusFile): boolean {
  try {
    readHead(file.path, 1);
    return true;
  } catch {
    return false;
  }
}
