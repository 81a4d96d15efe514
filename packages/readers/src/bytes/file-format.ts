import { basename } from "node:path";
import { isZstd } from "./zstd.js";

/** The format of a corpus file, by its first bytes. */
export type FileFormat =
  | { readonly kind: "text" | "gzip" | "zstd" | "utf-16le" | "utf-16be" }
  /** Not supported. `what` is a noun phrase; `remedy` says how to convert the file to text. */
  | { readonly kind: "other"; readonly what: string; readonly remedy: (path: string) => string };

interface Signature {
  /** A second condition on the first bytes, because a text could start with a short signature. */
  readonly and?: RegExp;
  readonly at?: number;
  /** Bytes as Latin-1 text. */
  readonly bytes: string;
  readonly what: string;
  readonly remedy: (path: string) => string;
}

const quoted = (path: string): string => `'${path.replaceAll("'", "'\\''")}'`;
const unpack =
  (command: string) =>
  (path: string): string =>
    `unpack it with \`${command} ${quoted(path)}\`, and name the result`;
const convert = (how: string) => (): string => `write its text as JSON lines, {"text": "…"} a line: ${how}`;

const signatures: readonly Signature[] = [
  { bytes: "\xfd7zXZ\0", what: "an xz archive", remedy: unpack("unxz -k") },
  { bytes: "BZh", and: /^BZh[1-9]/, what: "a bzip2 archive", remedy: unpack("bunzip2 -k") },
  { bytes: "\x04\x22\x4d\x18", what: "an lz4 archive", remedy: unpack("unlz4 -k") },
  { bytes: "7z\xbc\xaf\x27\x1c", what: "a 7-Zip archive", remedy: unpack("7z x") },
  { bytes: "Rar!\x1a\x07", what: "a RAR archive", remedy: unpack("unrar x") },
  { bytes: "PK\x03\x04", what: "a zip archive (or a document of an office program)", remedy: unpack("unzip") },
  { at: 257, bytes: "ustar", what: "a tar archive", remedy: unpack("tar -xf") },
  {
    bytes: "version https://git-lfs.github.com/spec/",
    what: "a pointer of Git LFS, not the file itself",
    remedy: () => "fetch the file with `git lfs pull` in its repository",
  },
  {
    bytes: "PAR1",
    what: "a Parquet file",
    remedy: convert("in Python, `pandas.read_parquet(FILE).to_json(NEW, orient='records', lines=True)`"),
  },
  {
    bytes: "ARROW1",
    what: "an Arrow file",
    remedy: convert("in Python, `pandas.read_feather(FILE).to_json(NEW, orient='records', lines=True)`"),
  },
  {
    bytes: "FEA1",
    what: "a Feather file",
    remedy: convert("in Python, `pandas.read_feather(FILE).to_json(NEW, orient='records', lines=True)`"),
  },
  {
    bytes: "SQLite format 3\0",
    what: "an SQLite database",
    remedy: convert("`sqlite3 FILE '.mode json' 'select text from TABLE'` prints one array"),
  },
  { bytes: "%PDF-", what: "a PDF document", remedy: unpack("pdftotext") },
  { bytes: "\x89HDF\r\n\x1a\n", what: "an HDF5 file", remedy: convert("with h5py in Python") },
  { bytes: "\x93NUMPY", what: "a NumPy array", remedy: convert("with numpy.load in Python, and decode token ids with their tokenizer") },
  { bytes: "Obj\x01", what: "an Avro file", remedy: convert("with fastavro in Python") },
  {
    bytes: "\xff\xff\xff\xff",
    what: "an Arrow stream",
    remedy: convert("in Python, `pyarrow.ipc.open_stream(FILE).read_all().to_pandas().to_json(NEW, orient='records', lines=True)`"),
  },
  { bytes: "\x89PNG", what: "a PNG picture", remedy: () => "name a file of text" },
  { bytes: "\xff\xd8\xff", what: "a JPEG picture", remedy: () => "name a file of text" },
  { bytes: "\x7fELF", what: "a program", remedy: () => "name a file of text" },
  { bytes: "\xff\xfe\0\0", what: "UTF-32 text", remedy: (path) => iconv("UTF-32", path) },
  { bytes: "\0\0\xfe\xff", what: "UTF-32 text", remedy: (path) => iconv("UTF-32", path) },
];

/** Zip archives with a more specific name, by the name of their first entry. */
const zips: readonly Signature[] = [
  {
    and: /^.{26,}(\[Content_Types\]\.xml|_rels\/|word\/)/s,
    what: "a document of an office program",
    remedy: () => "export its text to a UTF-8 file",
  },
  {
    and: /^.{30}mimetypeapplication\//s,
    what: "an e-book or a document of an office program",
    remedy: () => "export its text to a UTF-8 file",
  },
  { and: /^.{30}[^\0]*\/(data\.pkl|version|byteorder)/s, what: "a file of PyTorch", remedy: () => "name a file of text" },
  { and: /^.{30}[^\0]*\.npy/s, what: "an archive of NumPy arrays", remedy: convert("with numpy.load in Python") },
].map((each) => ({ bytes: "PK\x03\x04", ...each }));

/** The command that converts a text to UTF-8. */
const iconv = (encoding: string, path: string): string =>
  `convert it: \`iconv -f ${encoding} -t UTF-8 ${quoted(path)} > NEW_FILE\`, and name NEW_FILE`;

/** @param head the first bytes, at least 512 if the file is long enough */
export function formatOf(head: Uint8Array): FileFormat {
  const latin = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, 512)).toString("latin1");
  if (latin.startsWith("\x1f\x8b")) return { kind: "gzip" };
  if (isZstd(head)) return { kind: "zstd" };
  const known = [...zips, ...signatures].find(({ at = 0, bytes, and }) => latin.startsWith(bytes, at) && and?.test(latin) !== false);
  if (known !== undefined) return { kind: "other", what: known.what, remedy: known.remedy };
  if (/^\x80[\x02-\x05]/.test(latin))
    return { kind: "other", what: "a pickle of Python", remedy: convert("load it in Python, if you trust its source") };
  if (latin.startsWith("\xff\xfe")) return { kind: "utf-16le" };
  if (latin.startsWith("\xfe\xff")) return { kind: "utf-16be" };
  const wide = wideText(head);
  if (wide !== undefined) return { kind: "other", what: `${wide} text without a byte order mark`, remedy: (path) => iconv(wide, path) };
  return { kind: "text" };
}

/** Detects UTF-16 and UTF-32 without a mark: mostly Latin text has zeros in every other byte. */
function wideText(head: Uint8Array): "UTF-16LE" | "UTF-16BE" | "UTF-32LE" | "UTF-32BE" | undefined {
  const pairs = Math.min(head.length, 512) >> 1;
  if (pairs < 8) return undefined;
  let [even, odd] = [0, 0];
  for (let i = 0; i < pairs; i++) {
    if (head[2 * i] === 0) even++;
    if (head[2 * i + 1] === 0) odd++;
  }
  if (odd >= 0.95 * pairs && even > 0.4 * pairs && even < 0.6 * pairs) return isQuads(head, 0) ? "UTF-32LE" : undefined;
  if (even >= 0.95 * pairs && odd > 0.4 * pairs && odd < 0.6 * pairs) return isQuads(head, 3) ? "UTF-32BE" : undefined;
  if (odd > 0.7 * pairs && even < 0.1 * pairs) return "UTF-16LE";
  if (even > 0.7 * pairs && odd < 0.1 * pairs) return "UTF-16BE";
  return undefined;
}

/** Whether nearly all groups of four bytes are a printable character of ASCII at `at` and zeros. */
function isQuads(head: Uint8Array, at: number): boolean {
  const groups = Math.min(head.length, 512) >> 2;
  let good = 0;
  for (let i = 0; i < groups; i++) {
    const group = head.subarray(4 * i, 4 * i + 4);
    const byte = group[at] ?? 0;
    if (byte >= 9 && byte < 0x7f && group.every((each, index) => index === at || each === 0)) good++;
  }
  return good > 0.9 * groups;
}

/** The name of a compressed file without the extension of the compression format. */
export const unpackedName = (path: string): string => basename(path).replace(/\.(gz|gzip|zst|zstd)$/i, "");
