/** A kind of file that holds no text as it is, recognised by its first bytes. */
export interface ForeignKind {
  /** How people call it, such as "an xz file". */
  readonly name: string;
  /** What makes text of it. */
  readonly remedy: string;
}

interface Signature {
  readonly name: string;
  readonly bytes: string;
  readonly offset?: number;
  readonly remedy: (path: string) => string;
}

/** So many bytes are enough to recognise a kind: a tar archive has its mark at byte 257. */
export const kindBytes = 512;

const unpack =
  (command: string) =>
  (path: string): string =>
    `unpack it with \`${command} ${quote(path)}\` and name the file that this makes`;
const into =
  (command: string) =>
  (path: string): string =>
    `unpack it with \`mkdir corpus && ${command} ${quote(path)} ${command.startsWith("tar") ? "-C" : "-d"} corpus\` and name that directory`;
const frame = (reader: string) => (path: string) =>
  `write its column of text as JSON lines, for instance with \`python3 -c 'import pandas; pandas.${reader}(${JSON.stringify(path)}).to_json("corpus.jsonl", orient="records", lines=True)'\`, and name corpus.jsonl`;
const notText = (): string => "name a file of UTF-8 text, a JSONL file or a directory of these";
const exported = (): string => "export its text to a UTF-8 file and name that";

/** Bytes are written as in Latin-1. */
const signatures: readonly Signature[] = [
  { name: "an xz file", bytes: "\xfd7zXZ\0", remedy: unpack("xz -dk") },
  { name: "an lzma file", bytes: "\x5d\0\0", remedy: unpack("xz -dk --format=lzma") },
  { name: "a zstd file", bytes: "\x28\xb5\x2f\xfd", remedy: unpack("zstd -dk") },
  { name: "an lz4 file", bytes: "\x04\x22\x4d\x18", remedy: unpack("lz4 -dk") },
  { name: "a bzip2 file", bytes: "BZh", remedy: unpack("bzip2 -dk") },
  { name: "a compress (.Z) file", bytes: "\x1f\x9d", remedy: unpack("uncompress -k") },
  { name: "a snappy file", bytes: "\xff\x06\0\0sNaPpY", remedy: unpack("snzip -dk") },
  {
    name: "a 7z archive",
    bytes: "7z\xbc\xaf\x27\x1c",
    remedy: (path) => `unpack it with \`7z x -ocorpus ${quote(path)}\` and name that directory`,
  },
  {
    name: "a rar archive",
    bytes: "Rar!\x1a\x07",
    remedy: (path) => `unpack it with \`unrar x ${quote(path)} corpus/\` and name that directory`,
  },
  { name: "a tar archive", bytes: "ustar", offset: 257, remedy: into("tar -xf") },
  { name: "a zip archive", bytes: "PK\x03\x04", remedy: into("unzip") },
  { name: "an empty zip archive", bytes: "PK\x05\x06", remedy: notText },
  { name: "a Parquet file", bytes: "PAR1", remedy: frame("read_parquet") },
  { name: "an Arrow (Feather) file", bytes: "ARROW1", remedy: frame("read_feather") },
  { name: "an Arrow stream", bytes: "\xff\xff\xff\xff", remedy: frame("read_feather") },
  { name: "an ORC file", bytes: "ORC", remedy: frame("read_orc") },
  { name: "an Avro file", bytes: "Obj\x01", remedy: () => "write it as JSON lines, for instance with `fastavro`, and name that file" },
  {
    name: "an SQLite database",
    bytes: "SQLite format 3\0",
    remedy: (path) =>
      `write its text as JSON lines, for instance with \`sqlite3 -json ${quote(path)} 'select text from TABLE' | jq -c '.[]' > corpus.jsonl\``,
  },
  { name: "an HDF5 file", bytes: "\x89HDF\r\n\x1a\n", remedy: frame("read_hdf") },
  { name: "a NumPy array", bytes: "\x93NUMPY", remedy: exported },
  { name: "a PDF", bytes: "%PDF-", remedy: (path) => `take its text out with \`pdftotext ${quote(path)} corpus.txt\` and name corpus.txt` },
  { name: "an Office document of the old form", bytes: "\xd0\xcf\x11\xe0", remedy: exported },
  { name: "an RTF document", bytes: "{\\rtf", remedy: exported },
  { name: "a GGUF model", bytes: "GGUF", remedy: notText },
  { name: "a PNG image", bytes: "\x89PNG", remedy: notText },
  { name: "a JPEG image", bytes: "\xff\xd8\xff", remedy: notText },
  { name: "a GIF image", bytes: "GIF8", remedy: notText },
  { name: "a program (ELF)", bytes: "\x7fELF", remedy: notText },
  {
    name: "a pointer of Git LFS, not the file itself",
    bytes: "version https://git-lfs.github.com/spec/",
    remedy: () => "fetch the file with `git lfs pull` in its repository",
  },
];

/** Zip archives that people call by another name, by what the first entries are called. */
const zipKinds: readonly (readonly [mark: RegExp, name: string, remedy: (path: string) => string])[] = [
  [/\[Content_Types\]\.xml|word\/|_rels\//, "an Office document", exported],
  [/mimetypeapplication\/epub/, "an EPUB book", exported],
  [/mimetypeapplication\/vnd\.oasis/, "an OpenDocument file", exported],
  [/\/data\.pkl|\/version/, "a PyTorch file", notText],
  [/\.npy/, "a NumPy archive", exported],
];

/** The kind of a file that has no reader, by its first bytes; undefined for what may be text. */
export function foreignKind(head: Uint8Array, path: string): ForeignKind | undefined {
  const text = Buffer.from(head.subarray(0, kindBytes)).toString("latin1");
  const found = signatures.find(({ bytes, offset = 0 }) => text.startsWith(bytes, offset));
  if (found === undefined) return isPickle(head) ? { name: "a pickle", remedy: exported() } : isSkippable(head) ? zstd(path) : undefined;
  // Marks of three letters could begin a text.
  if (found.bytes === "BZh" && !/^BZh[1-9](1AY&SY|\x17rE8P\x90)/.test(text)) return undefined;
  if (found.bytes === "ORC" && !text.includes("\0")) return undefined;
  if (/^(PAR1|ARROW1|GIF8|GGUF)$/.test(found.bytes) && !hasControls(text)) return undefined;
  if (found.bytes === "PK\x03\x04") for (const [mark, name, remedy] of zipKinds) if (mark.test(text)) return { name, remedy: remedy(path) };
  return { name: found.name, remedy: found.remedy(path) };
}

const hasControls = (text: string): boolean => /[^\t\n\v\f\r -~\x80-\xff]/.test(text);
const isPickle = (head: Uint8Array): boolean => head[0] === 0x80 && (head[1] ?? 0) >= 2 && (head[1] ?? 0) <= 5;
const zstd = (path: string): ForeignKind => ({ name: "a zstd file", remedy: unpack("zstd -dk")(path) });

/** A frame that zstd and lz4 pass over. */
function isSkippable(head: Uint8Array): boolean {
  return ((head[0] ?? 0) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;
}

/** A path as a shell takes it. */
export function quote(path: string): string {
  return /^[\w./+@%:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
