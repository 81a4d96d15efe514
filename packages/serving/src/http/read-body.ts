import type { IncomingMessage } from "node:http";
import { fieldError, malformedError, mediaTypeError, tooLargeError } from "../errors.js";
import { type Fields, isFields } from "../requests/fields.js";

/** `application/json`, with no charset but UTF-8. */
const jsonType = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i;

/**
 * Reads the JSON object in the body of a request.
 *
 * @throws LAP_SERVE_MEDIA_TYPE, LAP_HTTP_TOO_LARGE or LAP_HTTP_REQUEST
 */
export async function readBody(request: IncomingMessage, limit_bytes: number): Promise<Fields> {
  const { "content-type": type = "", "content-encoding": encoding = "identity", "content-length": length } = request.headers;
  if (!jsonType.test(type)) throw mediaTypeError("Content-Type", type);
  if (encoding.toLowerCase() !== "identity") throw mediaTypeError("Content-Encoding", encoding);
  if (Number(length ?? 0) > limit_bytes) throw tooLargeError(limit_bytes);
  const bytes = await readBytes(request, limit_bytes);
  const body = parseJson(bytes);
  if (!isFields(body)) throw fieldError("", "expected a JSON object");
  return body;
}

async function readBytes(request: IncomingMessage, limit_bytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  return new Promise((resolve, reject) => {
    request.on("data", (piece: Buffer) => {
      size += piece.length;
      if (size <= limit_bytes) return void pieces.push(piece);
      // The rest of the body is read and dropped.
      pieces.length = 0;
      reject(tooLargeError(limit_bytes));
    });
    request.once("end", () => resolve(Buffer.concat(pieces)));
    const reportIncomplete = (): void => reject(malformedError("the body is incomplete", "the client closed the connection"));
    request.once("error", reportIncomplete);
    request.once("close", reportIncomplete);
  });
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw malformedError("the body is not JSON", cause);
  }
}
