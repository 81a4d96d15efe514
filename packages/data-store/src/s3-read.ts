import { isNetworkError, type S3Client } from "./s3-client.js";

/**
 * Bytes [start, end) of an object. If a connection breaks, the reading continues at the byte where it ended.
 *
 * @param missing makes the error of an object that is absent or too short
 * @throws LapidaryError LAP_DATA_REMOTE, and what `missing` makes
 */
export async function* readS3(
  client: S3Client,
  name: string,
  [start, end]: readonly [number, number],
  missing: (why: string) => Error,
): AsyncGenerator<Buffer> {
  let at = start;
  for (let attempt = 1; at < end; attempt++)
    try {
      for await (const chunk of range(client, name, [at, end], missing)) {
        at += chunk.length;
        attempt = 1;
        yield chunk;
      }
      if (at < end) throw missing("it ends early");
    } catch (error) {
      if (!isNetworkError(error)) throw error;
      if (!(await client.pause(attempt))) throw client.failure(name, error.message);
    }
}

async function* range(
  client: S3Client,
  name: string,
  [start, end]: readonly [number, number],
  missing: (why: string) => Error,
): AsyncGenerator<Buffer> {
  const { status, body } = await client.send(
    { method: "GET", name, headers: { range: `bytes=${start}-${end - 1}` } },
    [200, 206, 404, 416],
  );
  if (status === 404 || status === 416) {
    body.resume();
    throw missing(status === 404 ? "it is missing" : "it ends early");
  }
  // A server that does not know ranges sends the whole object.
  let skipped = status === 200 ? start : 0;
  let left = end - start;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const from = Math.min(chunk.length, skipped);
    skipped -= from;
    const rest = chunk.subarray(from, from + left);
    left -= rest.length;
    if (rest.length > 0) yield rest;
    if (left === 0) return;
  }
}
