import { createHash } from "node:crypto";

/** A text with its place in a source. */
export interface SourceDocument {
  /** SHA-256 of (source, file, place), in hex. */
  readonly id: string;
  readonly source: string;
  readonly file: string;
  /** A line, a row or a record of the file, from 1; or `whole`. */
  readonly place: string;
  /** The identifier that the file gives: a field `id`, the address of a page, or the name of the file. Need not be unique. */
  readonly name: string;
  readonly text: string;
  readonly mediaType: "text/plain" | "text/html";
}

/** A file to read, and how. */
export interface FileInput {
  /** Absolute path. */
  readonly path: string;
  readonly source: string;
  /** The name of the file within its source. Ids depend on it, and not on `path`. */
  readonly file: string;
  /** The field or column of the text. A dot selects an inner field. Default `text`. */
  readonly textField?: string;
  /** The field or column of the identifier. Default `id`. */
  readonly nameField?: string;
  /** Whole lines of a JSONL file that is not compressed; `line` is the number of the first one. Default: the whole file. */
  readonly range?: { readonly start: number; readonly end: number; readonly line: number };
  /** Longer lines, records and files are dropped. Default 64 MiB. */
  readonly maxDocumentBytes?: number;
}

/** @param place within the file, such as `line 3` */
export function documentId(source: string, file: string, place: string): string {
  return createHash("sha256")
    .update(JSON.stringify([source, file, place]))
    .digest("hex");
}

export const defaultMaxDocumentBytes = 64 * 1024 * 1024;

/** White space as Python's `str.strip` knows it, and byte order marks. */
const blank = /^[\s\x1c-\x1f\x85]*$/u;

/** A text that is delivered, or the reason to drop the value. */
export function acceptedText(value: unknown): { readonly text: string } | { readonly dropped: string } {
  if (value === undefined) return { dropped: "no text" };
  if (typeof value !== "string") return { dropped: "text is not a string" };
  if (blank.test(value)) return { dropped: "empty text" };
  if (/\p{Surrogate}/u.test(value)) return { dropped: "lone surrogate" };
  return { text: value };
}

/** The identifier as text; the place if there is none. */
export const nameOf = (value: unknown, place: string): string =>
  typeof value === "string" ? value : typeof value === "number" || typeof value === "bigint" ? String(value) : place;

/** The value as an object; undefined for lists, null and other values. */
export const asObject = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;

/** A dot selects a field of an inner object (`meta.text`), unless a field has the whole name. Inherited properties such as `toString` are not fields. */
export function fieldOf(object: Record<string, unknown>, path: string): unknown {
  const own = Object.getOwnPropertyDescriptor(object, path);
  if (own !== undefined || !path.includes(".")) return own?.value;
  const [first = "", ...rest] = path.split(".");
  const inner = asObject(Object.getOwnPropertyDescriptor(object, first)?.value);
  return inner === undefined ? undefined : fieldOf(inner, rest.join("."));
}
