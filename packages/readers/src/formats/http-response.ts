import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync } from "node:zlib";
import { defaultMaxDocumentBytes } from "../document.js";
import type { FoundDocument } from "./found.js";

/** Names in lower case. The first of several fields with a name counts. */
export type HeaderFields = ReadonlyMap<string, string>;

/** @param lines without their ends; a line that starts with a blank continues the one before it */
export function headerFields(lines: readonly string[]): HeaderFields {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (/^[ \t]/.test(line)) {
      if (last !== undefined) fields.set(last, `${fields.get(last) ?? ""} ${line.trim()}`);
    } else if (colon > 0) {
      const name = line.slice(0, colon).trim().toLowerCase();
      last = fields.has(name) ? undefined : name;
      if (last !== undefined) fields.set(last, line.slice(colon + 1).trim());
    }
  }
  return fields;
}

type Text = Pick<FoundDocument, "text" | "mediaType">;

/**
 * The text of an HTTP response: transfer and content encodings undone, characters decoded.
 *
 * @param given the fields of a block that has no HTTP header of its own
 */
export function readResponse(block: Buffer, given?: HeaderFields): Text | { readonly dropped: string } {
  const { fields, body } = given === undefined ? splitResponse(block) : { fields: given, body: block };
  const type = (fields.get("content-type") ?? "").toLowerCase();
  if (/^(image|audio|video|font)\/(?!svg)|^application\/(pdf|zip|gzip|x-gzip|x-tar|octet-stream|wasm|msword|vnd\.)/.test(type))
    return { dropped: "not text" };
  const plain = decodedBody(body, fields);
  if (plain === undefined) return { dropped: "damaged content" };
  const text = decodedText(plain, type);
  if (text === undefined) return { dropped: "not UTF-8" };
  const isHtml = type === "" ? /^\s*<(!doctype|html|head|body|\?xml)/i.test(text) : /html/.test(type);
  return { text, mediaType: isHtml ? "text/html" : "text/plain" };
}

/** A block without an empty line has a header and no body. */
function splitResponse(block: Buffer): { readonly fields: HeaderFields; readonly body: Buffer } {
  const [wide, narrow] = [block.indexOf("\r\n\r\n"), block.indexOf("\n\n")];
  const end = wide >= 0 && (narrow < 0 || wide < narrow) ? { at: wide, size: 4 } : { at: narrow, size: 2 };
  const head = end.at < 0 ? block : block.subarray(0, end.at);
  const lines = head.toString("latin1").split(/\r?\n/).slice(1);
  return { fields: headerFields(lines), body: end.at < 0 ? Buffer.alloc(0) : block.subarray(end.at + end.size) };
}

/** The body without its encodings; undefined if it is damaged. Many archives store bodies that are decoded already. */
function decodedBody(body: Buffer, fields: HeaderFields): Buffer | undefined {
  const isChunked = /chunked/i.test(fields.get("transfer-encoding") ?? "");
  const whole = (isChunked ? unchunked(body) : undefined) ?? body;
  const encoding = (fields.get("content-encoding") ?? "").trim().toLowerCase();
  const limit = { maxOutputLength: defaultMaxDocumentBytes };
  try {
    if (/^(x-)?gzip$/.test(encoding)) return whole[0] === 0x1f && whole[1] === 0x8b ? gunzipSync(whole, limit) : whole;
    if (encoding === "deflate") return ((whole[0] ?? 0) & 0x0f) === 8 ? inflateSync(whole, limit) : inflateRawSync(whole, limit);
    if (encoding === "br") return brotliDecompressSync(whole, limit);
  } catch (error) {
    if (error instanceof Error && "code" in error) return undefined;
    throw error;
  }
  return whole;
}

/** The bytes of the chunks; undefined if the body is not chunked. */
function unchunked(body: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf("\r\n", at);
    const size = end < 0 ? undefined : /^([0-9a-f]{1,8})\s*(;.*)?$/i.exec(body.toString("latin1", at, Math.min(end, at + 200)))?.[1];
    if (size === undefined) return undefined;
    const bytes = Number.parseInt(size, 16);
    if (bytes === 0) return Buffer.concat(parts);
    if (end + 2 + bytes > body.length) return undefined;
    parts.push(body.subarray(end + 2, end + 2 + bytes));
    at = end + 2 + bytes + 2;
  }
}

/** The characters of a page: as its header says, as its first bytes say, or UTF-8. */
function decodedText(body: Buffer, type: string): string | undefined {
  const declared = /charset\s*=\s*["']?\s*([\w.:-]+)/i;
  const name =
    declared.exec(type)?.[1] ?? (/html|^$/.test(type) ? declared.exec(body.toString("latin1", 0, 1024))?.[1] : undefined) ?? "utf-8";
  for (const each of new Set([name, "utf-8"])) {
    const text = decoded(body, each);
    if (text !== undefined) return text;
  }
  return undefined;
}

function decoded(body: Buffer, encoding: string): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(body);
  } catch (error) {
    // An unknown name, or bytes that the encoding does not have.
    if (error instanceof RangeError || error instanceof TypeError) return undefined;
    throw error;
  }
}
