import { isUtf8 } from "node:buffer";
import { type FileHandle, open } from "node:fs/promises";
import { isSystemError } from "@lapidary/std";
import type { AsyncBuffer, FileMetaData } from "hyparquet";
import type { Account } from "@lapidary/data-store";
import { acceptedText, defaultMaxDocumentBytes, type FileInput, fieldOf, nameOf } from "../document.js";
import type { FoundDocument } from "./found.js";

const magic = "PAR1";

/** Loads the library, which most processes do not need. */
async function parquetLibrary() {
  const [library, { compressors }] = await Promise.all([import("hyparquet"), import("hyparquet-compressors")]);
  return { ...library, compressors };
}

/**
 * One document for each row with a text. Memory is bounded by one row group. Returns the error of the file.
 *
 * @throws an error of the file system
 */
export async function* readParquet(input: FileInput, account: Account): AsyncGenerator<FoundDocument, string | undefined> {
  const handle = await open(input.path);
  try {
    const file = await asyncBuffer(handle);
    const metadata = await readMetadata(file);
    if (metadata === undefined) return "not Parquet";
    const text = columnOf(metadata, input.textField ?? "text");
    if (text === undefined) return `no column ${input.textField ?? "text"}`;
    const name = columnOf(metadata, input.nameField ?? "id");
    const columns = name === undefined || name === text ? [text] : [text, name];
    return yield* readGroups({ file, metadata, columns }, input, account);
  } finally {
    await handle.close();
  }
}

interface Table {
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly columns: string[];
}

async function* readGroups(table: Table, input: FileInput, account: Account): AsyncGenerator<FoundDocument, string | undefined> {
  let error: string | undefined;
  let start = 0;
  for (const { num_rows } of table.metadata.row_groups) {
    const count = Number(num_rows);
    if (!Number.isSafeInteger(count) || count < 0) return "damaged";
    const rows = await readRows(table, start, start + count);
    // The rows of a damaged group are known by their number alone.
    if (rows === undefined || rows.length !== count) {
      error = "damaged";
      account.enter(count);
      account.drop("damaged row group", count);
    } else
      for (const [i, row] of rows.entries()) {
        account.enter();
        const read = readRow(row, input);
        const place = `row ${start + i + 1}`;
        if ("dropped" in read) account.drop(read.dropped);
        else yield { place, name: nameOf(textOf(fieldOf(row, input.nameField ?? "id")), place), text: read.text, mediaType: "text/plain" };
      }
    start += count;
  }
  return error;
}

function readRow(row: Record<string, unknown>, input: FileInput): ReturnType<typeof acceptedText> {
  const value = fieldOf(row, input.textField ?? "text");
  if (value instanceof Uint8Array && value.length > (input.maxDocumentBytes ?? defaultMaxDocumentBytes)) return { dropped: "too large" };
  if (value instanceof Uint8Array && !isUtf8(value)) return { dropped: "not UTF-8" };
  // A column has a value in each row, so a missing one is null.
  return acceptedText(textOf(value) ?? null);
}

/** Strings are read as bytes, because the decoder of the library replaces what is not UTF-8. */
const textOf = (value: unknown): unknown => (value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value);

async function readRows(
  { file, metadata, columns }: Table,
  rowStart: number,
  rowEnd: number,
): Promise<Record<string, unknown>[] | undefined> {
  if (rowStart === rowEnd) return [];
  const parsers = { stringFromBytes: (bytes: Uint8Array | undefined): Uint8Array | undefined => bytes };
  const { compressors, parquetReadObjects } = await parquetLibrary();
  try {
    return await parquetReadObjects({ file, metadata, columns, rowStart, rowEnd, compressors, parsers });
  } catch (error) {
    if (isSystemError(error)) throw error;
    return undefined;
  }
}

async function readMetadata(file: AsyncBuffer): Promise<FileMetaData | undefined> {
  if (file.byteLength < 12 || Buffer.from(await file.slice(0, 4)).toString("latin1") !== magic) return undefined;
  const { parquetMetadataAsync } = await parquetLibrary();
  try {
    const metadata = await parquetMetadataAsync(file);
    return Array.isArray(metadata.row_groups) && Array.isArray(metadata.schema) ? metadata : undefined;
  } catch (error) {
    if (isSystemError(error)) throw error;
    return undefined;
  }
}

/** The top-level column that a path selects. */
function columnOf({ schema }: FileMetaData, path: string): string | undefined {
  const names = new Set<string>();
  for (let at = 1; at < schema.length; ) {
    names.add(schema[at]?.name ?? "");
    at = afterColumn(schema, at);
  }
  const [first = ""] = path.split(".");
  return [path, first].find((name) => names.has(name));
}

/** The index of the schema element after the column at `at` and all its inner columns. */
function afterColumn(schema: FileMetaData["schema"], at: number): number {
  let open = 1;
  let next = at;
  for (; open > 0 && next < schema.length; next++) open += (schema[next]?.num_children ?? 0) - 1;
  return Math.max(next, at + 1);
}

async function asyncBuffer(handle: FileHandle): Promise<AsyncBuffer> {
  const { size } = await handle.stat();
  return {
    byteLength: size,
    slice: async (start, end = size) => {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
      return bytes.buffer.slice(0, bytesRead);
    },
  };
}
