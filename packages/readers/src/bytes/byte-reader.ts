/** Reads a stream of bytes in pieces of any size, and puts bytes back. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #pending: Buffer[] = [];

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next bytes, of any number but zero; undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    const pending = this.#pending.pop();
    if (pending !== undefined) return pending;
    for (;;) {
      const { done, value } = await this.#chunks.next();
      if (done === true) return undefined;
      if (value.length > 0) return Buffer.from(value.buffer, value.byteOffset, value.length);
    }
  }

  /** The bytes will be read again. */
  putBack(bytes: Buffer): void {
    if (bytes.length > 0) this.#pending.push(bytes);
  }

  /** The next `count` bytes; fewer at the end. */
  async take(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = count; missing > 0; ) {
      const chunk = await this.next();
      if (chunk === undefined) break;
      parts.push(chunk.subarray(0, missing));
      this.putBack(chunk.subarray(missing));
      missing -= Math.min(missing, chunk.length);
    }
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
  }

  /** The next `count` bytes, which stay to be read; fewer at the end. */
  async peek(count: number): Promise<Buffer> {
    const bytes = await this.take(count);
    this.putBack(bytes);
    return bytes;
  }

  /** Skips bytes. @returns the number of bytes that were there */
  async skip(count: number): Promise<number> {
    let left = count;
    while (left > 0) {
      const chunk = await this.next();
      if (chunk === undefined) break;
      this.putBack(chunk.subarray(left));
      left -= Math.min(left, chunk.length);
    }
    return count - left;
  }

  /** The bytes to the end of the line with it; undefined if it has more than `limit` bytes or the end comes first. */
  async line(limit: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for (let bytes = 0; bytes <= limit; ) {
      const chunk = await this.next();
      if (chunk === undefined) return undefined;
      const end = chunk.indexOf(0x0a) + 1;
      parts.push(end === 0 ? chunk : chunk.subarray(0, end));
      if (end > 0) {
        this.putBack(chunk.subarray(end));
        return Buffer.concat(parts);
      }
      bytes += chunk.length;
    }
    return undefined;
  }
}
