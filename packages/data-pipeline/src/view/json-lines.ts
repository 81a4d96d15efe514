import { assert } from "@lapidary/std";

const chunkCharacters = 256 * 1024;

/** One JSON text a line, in chunks. */
export async function* jsonLines(values: AsyncIterable<unknown> | Iterable<unknown>): AsyncGenerator<Buffer> {
  let lines: string[] = [];
  let characters = 0;
  for await (const value of values) {
    const line = JSON.stringify(value);
    lines.push(line);
    characters += line.length + 1;
    if (characters < chunkCharacters) continue;
    yield Buffer.from(`${lines.join("\n")}\n`);
    lines = [];
    characters = 0;
  }
  if (lines.length > 0) yield Buffer.from(`${lines.join("\n")}\n`);
}

/** The values of a stream of JSON lines. Memory is bounded by the longest line. */
export async function* parsedLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<unknown> {
  let rest: Buffer[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      const line = rest.length === 0 ? chunk.subarray(start, end) : Buffer.concat([...rest, chunk.subarray(start, end)]);
      rest = [];
      start = end + 1;
      yield JSON.parse(line.toString("utf8")) as unknown;
    }
    if (start < chunk.length) rest.push(chunk.subarray(start));
  }
  assert(rest.length === 0, "a stored part ends with a line end");
}
