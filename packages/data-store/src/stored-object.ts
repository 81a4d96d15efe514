import { createHash, randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { asJson, canonicalJson, isSystemError, type JsonValue, parsedJson, systemError } from "@lapidary/std";
import { z } from "zod";
import { type AccountCounts, accountSchema, checkAccount } from "./account.js";
import { damaged } from "./damaged.js";
import type { Registration } from "./registration.js";

/** All that an output depends on. A stage that depends on anything else, such as the time, gets no key. */
export interface StageKey {
  /** The version of the code of the stage. */
  readonly code: string;
  readonly config: JsonValue;
  /** Keys of the objects that the stage reads, or digests of files, in order. */
  readonly inputs: readonly string[];
}

export interface StoredPart {
  /** `part-0`, `part-1`, … */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** An output of a stage that is complete. */
export interface StoredObject {
  readonly key: string;
  readonly account: AccountCounts;
  readonly parts: readonly StoredPart[];
}

/** The bytes that a store has of a key. */
export interface StoredSize {
  readonly key: string;
  readonly bytes: number;
}

/**
 * Where stages keep their outputs. An object is complete or absent, and nothing is overwritten. Any number of processes share a store; two that compute one
 * key write equal bytes, and the first that ends is kept.
 */
export interface OutputStore {
  /**
   * The object of a key; undefined if it is absent. Reads no part.
   *
   * @throws LapidaryError LAP_DATA_STORE, LAP_DATA_ACCOUNT
   */
  find(key: string): Promise<StoredObject | undefined>;
  /** The bytes of a part. Their digest is compared at the end. */
  read(object: StoredObject, index: number): AsyncIterable<Buffer>;
  /** Does no work if the key is there. `produce` gives the parts in order, each as a stream of bytes, and returns the account. */
  write(key: string, produce: () => AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts>): Promise<StoredObject>;
  /** Compares the bytes of an object with its account. */
  verify(object: StoredObject): Promise<void>;
  /** Removes an object, so that it is computed again. */
  remove(key: string): Promise<void>;
  /** All keys that have bytes, also of outputs that are not complete, in order. */
  list(): Promise<readonly StoredSize[]>;
  /**
   * Removes what killed processes left outside of keys. No process may write one of these keys at the same time.
   *
   * @param isInUse true for the keys that processes of other pipelines may write
   */
  removeUnfinished(isInUse: (key: string) => boolean): Promise<void>;
  /** An empty directory on this machine, for files of the stage that computes a key. Its user removes it. */
  makeScratch(key: string): string;
  /** Stores what a pipeline needs, in the place of what it needed before. */
  register(registration: Registration): Promise<void>;
  /**
   * What each pipeline of the store needs.
   *
   * @throws LapidaryError LAP_DATA_STORE
   */
  registrations(): Promise<readonly Registration[]>;
  /** Forgets what a pipeline needs. */
  unregister(id: string): Promise<void>;
}

const storedObject = z.object({
  key: z.string(),
  account: accountSchema,
  parts: z.array(z.object({ name: z.string().regex(/^part-\d+$/), bytes: z.number().int().nonnegative(), sha256: z.string() })),
});

/** SHA-256 of the canonical JSON of a key, in hex. */
export function objectKey({ code, config, inputs }: StageKey): string {
  return createHash("sha256")
    .update(canonicalJson({ code, config, inputs: [...inputs] }))
    .digest("hex");
}

/** The account of an object as it is stored. */
export const accountBytes = (object: StoredObject): Buffer => Buffer.from(`${canonicalJson(asJson(object))}\n`);

/** @throws LapidaryError LAP_DATA_STORE, LAP_DATA_ACCOUNT */
export function parseStoredObject(text: string, key: string, location: string): StoredObject {
  const read = storedObject.safeParse(parsedJson(text));
  if (!read.success || read.data.key !== key) throw damaged(location, "its account has another form");
  checkAccount(read.data.account, location);
  return read.data;
}

/** The object that another process stored first, if it equals the written one. */
export function checkEqual(first: StoredObject, written: StoredObject, location: string): StoredObject {
  if (canonicalJson(asJson(first)) === canonicalJson(asJson(written))) return first;
  throw damaged(location, "another process computed other bytes for it, so the stage is not deterministic");
}

/**
 * Stores the parts that a stage gives, in order, and returns the object that they make.
 *
 * @throws LapidaryError LAP_DATA_ACCOUNT if the account of the stage does not add up
 */
export async function collectParts(
  key: string,
  produced: AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts>,
  store: (name: string, chunks: AsyncIterable<Uint8Array>) => Promise<StoredPart>,
): Promise<StoredObject> {
  const parts: StoredPart[] = [];
  for (;;) {
    const next = await produced.next();
    if (next.done === true) return { key, account: checkAccount(next.value, key), parts };
    parts.push(await store(`part-${parts.length}`, next.value));
  }
}

/** Whether a name is the key of an object. Files with other names are not of pipelines. */
export const isKey = (name: string): boolean => /^[0-9a-f]{64}$/.test(name);

/** Makes an empty directory for files of the stage that computes a key, below a directory of this machine. */
export function makeScratchBelow(directory: string, key: string): string {
  const path = join(directory, `${key}.scratch-${randomUUID()}`);
  try {
    mkdirSync(path, { recursive: true });
    return path;
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "make a directory for a stage", place: path }) : error;
  }
}

/** Writes a part to a new file, and syncs it. */
export async function writePart(
  directory: string,
  name: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<StoredPart> {
  const hash = createHash("sha256");
  let bytes = 0;
  const file = await open(join(directory, name), "wx");
  try {
    for await (const chunk of chunks) {
      hash.update(chunk);
      bytes += chunk.length;
      for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { name, bytes, sha256: hash.digest("hex") };
}
