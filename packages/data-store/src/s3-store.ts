import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, systemError } from "@lapidary/std";
import type { AccountCounts } from "./account.js";
import { isNetworkError, type S3Address, S3Client, textOf } from "./s3-client.js";
import {
  accountBytes,
  checkEqual,
  collectParts,
  damaged,
  makeScratchBelow,
  type OutputStore,
  parseStoredObject,
  type StoredObject,
  type StoredPart,
  writePart,
} from "./stored-object.js";

export type { S3Address } from "./s3-client.js";

/**
 * The outputs of stages in an S3-compatible store.
 *
 *     PREFIX/objects/KEY/part-N.SHA256   the bytes of a stage. The digest is part of the name, so nothing is overwritten by other bytes
 *                       /account.json    counts and digests, put last, if it is absent (`If-None-Match: *`)
 *
 * A server that does not know `If-None-Match` puts the account without a condition. Then two processes that compute one key at the same time put the same
 * account twice.
 */
export class S3Store implements OutputStore {
  readonly #client: S3Client;
  readonly #directory: string;

  /** @param directory on this machine, for parts until they are put */
  constructor(address: S3Address, directory: string) {
    this.#client = new S3Client(address);
    this.#directory = directory;
  }

  /** @throws LapidaryError LAP_DATA_REMOTE, LAP_DATA_STORE, LAP_DATA_ACCOUNT */
  async find(key: string): Promise<StoredObject | undefined> {
    const name = accountName(key);
    const { status, body } = await this.#client.send({ method: "GET", name }, [200, 404]);
    const text = await textOf(body);
    if (status === 200) return parseStoredObject(text, key, this.#client.urlOf(name));
    if (text.includes("<Code>NoSuchBucket<")) throw this.#client.failure(name, "there is no such bucket");
    return undefined;
  }

  /** If a connection breaks, the reading goes on at the byte where it ended. */
  async *read(object: StoredObject, index: number): AsyncGenerator<Buffer> {
    const part = object.parts[index];
    if (part === undefined) throw damaged(this.#client.urlOf(accountName(object.key)), `it has no part-${index}`);
    const name = partName(object.key, part);
    const hash = createHash("sha256");
    let at = 0;
    for (let attempt = 1; at < part.bytes; attempt++)
      try {
        for await (const chunk of this.#range(name, at, part.bytes)) {
          hash.update(chunk);
          at += chunk.length;
          attempt = 1;
          yield chunk;
        }
        if (at < part.bytes) throw damaged(this.#client.urlOf(name), "it ends early");
      } catch (error) {
        if (!isNetworkError(error)) throw error;
        if (!(await this.#client.pause(attempt))) throw this.#client.failure(name, error.message);
      }
    if (hash.digest("hex") !== part.sha256) throw damaged(this.#client.urlOf(name), "its bytes differ from its account");
  }

  async write(key: string, produce: () => AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts>): Promise<StoredObject> {
    const found = await this.find(key);
    if (found !== undefined) return found;
    const directory = this.makeScratch();
    try {
      const object = await collectParts(key, produce(), async (name, chunks) => {
        const part = await writePart(directory, name, chunks);
        const file = join(directory, part.name);
        await this.#put(partName(key, part), { file, size: part.bytes });
        rmSync(file);
        return part;
      });
      return await this.#publish(object);
    } catch (error) {
      throw isSystemError(error) ? systemError(error, { doing: "write an output of a stage", place: directory }) : error;
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  async verify(object: StoredObject): Promise<void> {
    for (const index of object.parts.keys()) for await (const _chunk of this.read(object, index));
  }

  /** Removes the account first: an object without an account is absent. */
  async remove(key: string): Promise<void> {
    const object = await this.find(key).catch(() => undefined);
    for (const name of [accountName(key), ...(object?.parts ?? []).map((part) => partName(key, part))])
      (await this.#client.send({ method: "DELETE", name }, [200, 204, 404])).body.resume();
  }

  makeScratch(): string {
    return makeScratchBelow(this.#directory);
  }

  async *#range(name: string, start: number, end: number): AsyncGenerator<Buffer> {
    const { status, body } = await this.#client.send(
      { method: "GET", name, headers: { range: `bytes=${start}-${end - 1}` } },
      [200, 206, 404, 416],
    );
    if (status === 404 || status === 416) {
      body.resume();
      throw damaged(this.#client.urlOf(name), status === 404 ? "it is missing" : "it ends early");
    }
    // A server that does not know ranges sends the whole part.
    let skipped = status === 200 ? start : 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const rest = chunk.subarray(Math.min(chunk.length, skipped));
      skipped -= chunk.length - rest.length;
      if (rest.length > 0) yield rest;
    }
  }

  async #put(name: string, body: { readonly file: string; readonly size: number }): Promise<void> {
    (await this.#client.send({ method: "PUT", name, body }, [200, 201])).body.resume();
  }

  async #publish(object: StoredObject): Promise<StoredObject> {
    const name = accountName(object.key);
    const put = { method: "PUT", name, body: { bytes: accountBytes(object) } } as const;
    const first = await this.find(object.key);
    if (first !== undefined) return checkEqual(first, object, this.#client.urlOf(name));
    const answer = await this.#client.send({ ...put, headers: { "if-none-match": "*" } }, [200, 201, 400, 412, 501]);
    const text = await textOf(answer.body);
    if (answer.status === 412) {
      const other = await this.find(object.key);
      if (other === undefined) throw damaged(this.#client.urlOf(name), "it has no account");
      return checkEqual(other, object, this.#client.urlOf(name));
    }
    if (answer.status < 300) return object;
    if (answer.status === 400 && !/NotImplemented|InvalidArgument|InvalidRequest/.test(text))
      throw this.#client.failure(name, `status 400 ${text.slice(0, 200)}`);
    // The server does not know the condition.
    (await this.#client.send(put, [200, 201])).body.resume();
    return object;
  }
}

const accountName = (key: string): string => `objects/${key}/account.json`;
const partName = (key: string, { name, sha256 }: StoredPart): string => `objects/${key}/${name}.${sha256.slice(0, 16)}`;
