import { createHash, randomUUID } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isSystemError, replaceFile, systemError } from "@lapidary/std";
import type { AccountCounts } from "./account.js";
import { damaged } from "./damaged.js";
import { parseRegistration, type Registration, registrationFile, registrationLines } from "./registration.js";
import {
  accountBytes,
  checkEqual,
  collectParts,
  isKey,
  makeScratchBelow,
  type OutputStore,
  parseStoredObject,
  type StoredObject,
  type StoredPart,
  type StoredSize,
  writePart,
} from "./stored-object.js";

const accountFile = "account.json";

/**
 * The outputs of stages in a directory that any number of processes share.
 *
 *     objects/KEY/part-N         the bytes of the stage
 *                /account.json   counts and digests, written last
 *     unfinished/KEY.…           an output that a process writes, or that a killed process left
 *     pipelines/ID.json          what a pipeline needs
 *
 * An object is complete or absent: its directory is synced, then renamed into place. Nothing is overwritten. Two processes
 * that compute one key write equal bytes, and the first that ends is kept.
 */
export class ObjectStore implements OutputStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** The path of a part. */
  pathOf(object: StoredObject, part: StoredPart): string {
    return join(this.#directory(object.key), part.name);
  }

  /**
   * The object of a key; undefined if it is absent. Reads no part.
   *
   * @throws LapidaryError LAP_DATA_STORE, LAP_DATA_ACCOUNT, LAP_FILE_…
   */
  async find(key: string): Promise<StoredObject | undefined> {
    const path = join(this.#directory(key), accountFile);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (error.code === "ENOENT") return undefined;
      throw systemError(error, { doing: "read an output of a stage", place: path });
    }
    return parseStoredObject(text, key, path);
  }

  /**
   * The object of a key. Does no work if it is there.
   *
   * @param produce gives the parts in order, each as a stream of bytes, and returns the account
   * @throws LapidaryError LAP_DATA_STORE if another process stored other bytes for the key; LAP_DATA_ACCOUNT, LAP_FILE_…
   */
  async write(key: string, produce: () => AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts>): Promise<StoredObject> {
    const found = await this.find(key);
    if (found !== undefined) return found;
    const unfinished = join(this.#root, "unfinished", `${key}.${randomUUID()}`);
    try {
      mkdirSync(unfinished, { recursive: true });
      const written = await writeObject(unfinished, key, produce());
      return await this.#publish(unfinished, written);
    } catch (error) {
      throw isSystemError(error) ? systemError(error, { doing: "write an output of a stage", place: unfinished }) : error;
    } finally {
      rmSync(unfinished, { recursive: true, force: true });
    }
  }

  /**
   * The bytes of a part, compared with their digest at the end.
   *
   * @throws LapidaryError LAP_DATA_STORE after the last chunk if they differ; LAP_FILE_…
   */
  async *read(object: StoredObject, index: number): AsyncGenerator<Buffer> {
    const part = object.parts[index];
    if (part === undefined) throw damaged(this.#directory(object.key), `it has no part-${index}`);
    const path = this.pathOf(object, part);
    const hash = createHash("sha256");
    try {
      for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
        hash.update(chunk as Buffer);
        yield chunk as Buffer;
      }
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (error.code === "ENOENT") throw damaged(path, "it is missing");
      throw systemError(error, { doing: "read an output of a stage", place: path });
    }
    if (hash.digest("hex") !== part.sha256) throw damaged(path, "its bytes differ from its account");
  }

  /**
   * Compares the bytes of an object with its account.
   *
   * @throws LapidaryError LAP_DATA_STORE with the part that differs
   */
  async verify(object: StoredObject): Promise<void> {
    for (const index of object.parts.keys()) for await (const _chunk of this.read(object, index));
  }

  /** An empty directory on the disk of the store, for files of the stage that computes a key. Its user removes it. */
  makeScratch(key: string): string {
    return makeScratchBelow(join(this.#root, "unfinished"), key);
  }

  /** Removes an object, so that it is computed again. */
  async remove(key: string): Promise<void> {
    rmSync(this.#directory(key), { recursive: true, force: true });
  }

  async list(): Promise<readonly StoredSize[]> {
    const objects = join(this.#root, "objects");
    const keys = existsSync(objects) ? readdirSync(objects).filter(isKey).sort() : [];
    return keys.map((key) => ({ key, bytes: bytesBelow(join(objects, key)) }));
  }

  async removeUnfinished(isInUse: (key: string) => boolean): Promise<void> {
    const unfinished = join(this.#root, "unfinished");
    for (const name of existsSync(unfinished) ? readdirSync(unfinished) : [])
      if (!isInUse(name.slice(0, name.indexOf(".")))) rmSync(join(unfinished, name), { recursive: true, force: true });
  }

  async register(registration: Registration): Promise<void> {
    const path = join(this.#root, registrationFile(registration.id));
    try {
      mkdirSync(dirname(path), { recursive: true });
      replaceFile(path, registrationLines(registration));
    } catch (error) {
      throw isSystemError(error) ? systemError(error, { doing: "write what a pipeline needs", place: path }) : error;
    }
  }

  async registrations(): Promise<readonly Registration[]> {
    const directory = join(this.#root, "pipelines");
    const names = existsSync(directory) ? readdirSync(directory).filter((name) => name.endsWith(".json")) : [];
    const found: Registration[] = [];
    for (const name of names.sort()) {
      const path = join(directory, name);
      try {
        found.push(parseRegistration(await readFile(path), path));
      } catch (error) {
        throw isSystemError(error) ? systemError(error, { doing: "read what a pipeline needs", place: path }) : error;
      }
    }
    return found;
  }

  async unregister(id: string): Promise<void> {
    rmSync(join(this.#root, registrationFile(id)), { force: true });
  }

  #directory(key: string): string {
    return join(this.#root, "objects", key);
  }

  async #publish(unfinished: string, written: StoredObject): Promise<StoredObject> {
    const objects = join(this.#root, "objects");
    mkdirSync(objects, { recursive: true });
    try {
      renameSync(unfinished, this.#directory(written.key));
    } catch (error) {
      if (!isSystemError(error) || !["ENOTEMPTY", "EEXIST"].includes(error.code)) throw error;
      const first = await this.find(written.key);
      if (first === undefined) throw damaged(this.#directory(written.key), "it has no account");
      return checkEqual(first, written, this.#directory(written.key));
    }
    await sync(objects);
    return written;
  }
}

const bytesBelow = (directory: string): number =>
  readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);

async function writeObject(
  directory: string,
  key: string,
  produced: AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts>,
): Promise<StoredObject> {
  const object = await collectParts(key, produced, (name, chunks) => writePart(directory, name, chunks));
  await writePart(directory, accountFile, [accountBytes(object)]);
  await sync(directory);
  return object;
}

/** Makes the entries of a directory durable. */
async function sync(directory: string): Promise<void> {
  const handle = await open(directory);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
