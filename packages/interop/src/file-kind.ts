import { open, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { formatBytes, LapidaryError } from "@lapidary/std";

/**
 * The format of a file, by its first bytes. `what` is a noun phrase for messages, `remedy` the step that makes readable weights from it.
 * A file that matches none of the formats below is `unknown`: the caller reads it and reports the problem.
 */
export type FileKind =
  | { readonly kind: "safetensors" | "unknown" }
  | { readonly kind: "lfs-pointer" | "empty" | "page" | "json" | "text" | "other"; readonly what: string; readonly remedy: string };

/** Number of bytes that decide the format; an LFS pointer has about 130. */
const headBytes = 1024;

/** The step that saves a model as safetensors, if transformers can load it. */
export const saveAsSafetensors = (load = "from_pretrained(DIRECTORY)"): string =>
  `in Python: AutoModelForCausalLM.${load}.save_pretrained(NEW_DIRECTORY, safe_serialization=True), then give NEW_DIRECTORY`;

/** Replaces DIRECTORY in a remedy by its path. */
export const withDirectory = (remedy: string, directory: string): string =>
  remedy.replaceAll(/(?<!NEW_)DIRECTORY/g, () => JSON.stringify(directory));

/** The step that fetches a gated or private file. */
const fetchAgain =
  "fetch the file again: log in with `hf auth login`, accept the licence on the page of the model, then run `hf download REPOSITORY --local-dir DIRECTORY`";

interface Signature {
  readonly at?: number;
  readonly bytes: string;
  readonly what: string;
  readonly remedy: string;
}

const decompress = (tool: string): string => `decompress it first, for example with \`${tool}\``;

/** Formats by their first bytes, written as Latin-1 text. */
const signatures: readonly Signature[] = [
  {
    bytes: "GGUF",
    what: "a GGUF file of llama.cpp",
    remedy: `use the original checkpoint; or ${saveAsSafetensors('from_pretrained(DIRECTORY, gguf_file="FILE.gguf")')}`,
  },
  {
    bytes: "\x89HDF\r\n\x1a\n",
    what: "an HDF5 file of Keras or TensorFlow",
    remedy: saveAsSafetensors("from_pretrained(DIRECTORY, from_tf=True)"),
  },
  {
    bytes: "\x93NUMPY",
    what: "a NumPy array (.npy)",
    remedy: "write the arrays with safetensors.numpy.save_file, under the names of the Hugging Face checkpoint",
  },
  { bytes: "\x1f\x8b", what: "a gzip archive", remedy: decompress("gunzip") },
  { bytes: "\x28\xb5\x2f\xfd", what: "a zstd archive", remedy: decompress("zstd -d") },
  { bytes: "\xfd7zXZ\0", what: "an xz archive", remedy: decompress("unxz") },
  { bytes: "BZh", what: "a bzip2 archive", remedy: decompress("bunzip2") },
  { bytes: "7z\xbc\xaf\x27\x1c", what: "a 7-Zip archive", remedy: decompress("7z x") },
  { at: 257, bytes: "ustar", what: "a tar archive", remedy: "unpack it first with `tar -xf`" },
];

/**
 * @param head the first bytes of the file, up to 1024
 * @param size the size of the file
 */
export function kindOfBytes(head: Uint8Array, size: number): FileKind {
  if (size === 0) return { kind: "empty", what: "an empty file", remedy: "fetch or write it again" };
  if (isSafetensorsHead(head, size)) return { kind: "safetensors" };
  const latin = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString("latin1");
  for (const { at = 0, bytes, what, remedy } of signatures) if (latin.startsWith(bytes, at)) return { kind: "other", what, remedy };
  if (latin.startsWith("PK\x03\x04") || latin.startsWith("PK\x05\x06")) return zipKind(latin);
  if (/^\x80[\x02-\x05]/.test(latin)) return { kind: "other", what: "pickled weights of PyTorch", remedy: saveAsSafetensors() };
  if (size >= 8 && head.length >= 8 && head.every((byte) => byte === 0))
    return {
      kind: "other",
      what: "a file that starts with zeros, as of an unfinished download",
      remedy: "finish the download, or fetch the file again",
    };
  return textKind(head, size);
}

/** Whether the file starts with the length of a header that fits in the file, then "{". */
function isSafetensorsHead(head: Uint8Array, size: number): boolean {
  if (head.length < 9 || head[8] !== 0x7b) return false;
  return new DataView(head.buffer, head.byteOffset).getBigUint64(0, true) <= BigInt(size - 8);
}

function zipKind(latin: string): FileKind {
  if (latin.includes(".npy"))
    return {
      kind: "other",
      what: "a NumPy archive (.npz)",
      remedy: "write the arrays with safetensors.numpy.save_file, under the names of the Hugging Face checkpoint",
    };
  return {
    kind: "other",
    what: "a zip archive, such as pickled weights of PyTorch",
    remedy: `${saveAsSafetensors()}; if it is another archive, unpack it`,
  };
}

function textKind(head: Uint8Array, size: number): FileKind {
  const text = textOf(head, size);
  if (text === undefined) return { kind: "unknown" };
  if (/^version https:\/\/(git-lfs|hawser)\.github\.com\/spec\//.test(text)) {
    const bytes = /^size (\d+)$/m.exec(text)?.[1];
    const real = bytes === undefined ? "" : `; the real file has ${bytes} bytes (${formatBytes(Number(bytes))})`;
    return {
      kind: "lfs-pointer",
      what: `a Git LFS pointer of ${size} bytes, not the file itself${real}`,
      remedy: "run `git lfs install` and then `git lfs pull` in the clone of the repository",
    };
  }
  if (/^\/?(\.git\/)?annex\/objects\//.test(text))
    return {
      kind: "lfs-pointer",
      what: "a pointer of git-annex, not the file itself",
      remedy: "run `git annex get` on the file in the clone",
    };
  const excerpt = quoted(text);
  if (/^\s*(<!doctype html|<html|<head|<body|<\?xml|<!--)/i.test(text))
    return { kind: "page", what: `a web page that starts with ${excerpt}`, remedy: fetchAgain };
  if (/^\s*[{[]/.test(text)) return { kind: "json", what: `JSON text that starts with ${excerpt}`, remedy: fetchAgain };
  return { kind: "text", what: `text that starts with ${excerpt}`, remedy: fetchAgain };
}

/** The bytes as text if they are UTF-8 (or UTF-16 with a byte order mark) without control characters. A truncated last character is ignored. */
function textOf(head: Uint8Array, size: number): string | undefined {
  if ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff))
    return new TextDecoder(head[0] === 0xff ? "utf-16le" : "utf-16be").decode(head);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: head.length < size });
    return /[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

const quoted = (text: string): string => {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return JSON.stringify(line.length > 80 ? `${line.slice(0, 80)}…` : line);
};

/** The format of a regular file; undefined if it is missing, unreadable or not a regular file. Never waits for a pipe. */
export async function fileKind(path: string): Promise<FileKind | undefined> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) return undefined;
    const file = await open(path, "r");
    try {
      const head = new Uint8Array(Math.min(headBytes, stats.size));
      const { bytesRead } = await file.read(head, 0, head.length, 0);
      return kindOfBytes(head.subarray(0, bytesRead), stats.size);
    } finally {
      await file.close();
    }
  } catch {
    // The code that opens the file reports why it cannot be read.
    return undefined;
  }
}

/**
 * Rejects a file whose content does not match its name.
 *
 * @param role the expected content, such as "a safetensors file"
 * @throws LAP_FILE_KIND
 */
export function rejectOtherKind(kind: FileKind | undefined, path: string, role: string): void {
  if (kind === undefined || !("what" in kind)) return;
  throw new LapidaryError({
    code: "LAP_FILE_KIND",
    message: `${basename(path)} is not ${role}: it is ${kind.what}`,
    location: path,
    remedy: withDirectory(kind.remedy, dirname(path)),
  });
}
