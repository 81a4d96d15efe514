import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, systemError } from "@lapidary/std";
import type { AccountCounts } from "./account.js";
import { damaged } from "./damaged.js";
import { parseRegistration, type Registration, registrationFile, registrationLines } from "./registration.js";
import { bytesOf, type S3Address, S3Client, type S3Response, textOf } from "./s3-client.js";
import { listS3 } from "./s3-list.js";
import { readS3 } from "./s3-read.js";
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

/**
 * The outputs of stages in an S3-compatible store.
 *
 *     PREFIX/objects/KEY/part-N.SHA256   the bytes of a stage. The digest is part of the name, so nothing is overwritten by other bytes
 *                       /claim.SHA256    the digest of an account, before it is put, if the server does not know `If-None-Match`
 *                       /account.json    counts and digests, put last, if it is absent (`If-None-Match: *`)
 *           /conditional-put             shows whether the server knows `If-None-Match`
 *           /pipelines/ID.json           what a pipeline needs: the only object that is put again with other bytes
 *
 * Some servers ignore `If-None-Match`. There, each process puts a claim, then reads all claims of the key. Two processes with other bytes cannot both
 * miss the claim of the other, so at least one of them fails, and equal accounts can be put twice.
 */
export class S3Store implements OutputStore {
  readonly #client: S3Client;
  readonly #prefix: string;
  readonly #directory: string;
  #isConditional: Promise<boolean> | undefined;

  /** @param directory on this machine, for parts until they are put */
  constructor(address: S3Address, directory: string) {
    this.#client = new S3Client(address);
    this.#prefix = address.prefix;
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

  async *read(object: StoredObject, index: number): AsyncGenerator<Buffer> {
    const part = object.parts[index];
    if (part === undefined) throw damaged(this.#client.urlOf(accountName(object.key)), `it has no part-${index}`);
    const name = partName(object.key, part);
    const refuse = (why: string): Error => damaged(this.#client.urlOf(name), why);
    const hash = createHash("sha256");
    for await (const chunk of readS3(this.#client, name, [0, part.bytes], refuse)) {
      hash.update(chunk);
      yield chunk;
    }
    if (hash.digest("hex") !== part.sha256) throw refuse("its bytes differ from its account");
  }

  async write(key: string, produce: () => AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts>): Promise<StoredObject> {
    const found = await this.find(key);
    if (found !== undefined) return found;
    const directory = this.makeScratch(key);
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
    await this.#delete(accountName(key));
    for (const name of await this.#namesOf(`objects/${key}/`)) await this.#delete(name);
  }

  async list(): Promise<readonly StoredSize[]> {
    const sizes = new Map<string, number>();
    const root = this.#below("objects/");
    for await (const { name, bytes } of listS3(this.#client, root)) {
      const key = name.slice(root.length).split("/")[0] ?? "";
      if (isKey(key)) sizes.set(key, (sizes.get(key) ?? 0) + bytes);
    }
    return [...sizes].map(([key, bytes]) => ({ key, bytes }));
  }

  /** The directory on this machine is of one pipeline. */
  async removeUnfinished(): Promise<void> {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  makeScratch(key: string): string {
    return makeScratchBelow(this.#directory, key);
  }

  register(registration: Registration): Promise<void> {
    const lines = [...registrationLines(registration)].map((line) => Buffer.from(line));
    return this.#put(registrationFile(registration.id), { bytes: Buffer.concat(lines) });
  }

  async registrations(): Promise<readonly Registration[]> {
    const found: Registration[] = [];
    for (const name of await this.#namesOf("pipelines/")) {
      const { status, body } = await this.#client.send({ method: "GET", name }, [200, 404]);
      const bytes = await bytesOf(body);
      if (status === 200) found.push(parseRegistration(bytes, this.#client.urlOf(name)));
    }
    return found;
  }

  unregister(id: string): Promise<void> {
    return this.#delete(registrationFile(id));
  }

  #below(name: string): string {
    return this.#prefix === "" ? name : `${this.#prefix}/${name}`;
  }

  /** Names without the prefix of the store. */
  async #namesOf(prefix: string): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const { name } of listS3(this.#client, this.#below(prefix))) names.push(name.slice(this.#below("").length));
    return names;
  }

  async #put(name: string, body: { readonly file: string; readonly size: number } | { readonly bytes: Uint8Array }): Promise<void> {
    (await this.#client.send({ method: "PUT", name, body }, [200, 201])).body.resume();
  }

  /** 412 if the name is taken, 501 if the server refuses the condition. */
  async #putIfAbsent(name: string, bytes: Uint8Array): Promise<200 | 412 | 501> {
    const put = { method: "PUT", name, body: { bytes }, headers: { "if-none-match": "*" } } as const;
    return conditionalStatus(await this.#client.send(put, [200, 201, 400, 412, 501]), (why) => this.#client.failure(name, why));
  }

  async #delete(name: string): Promise<void> {
    (await this.#client.send({ method: "DELETE", name }, [200, 204, 404])).body.resume();
  }

  async #publish(object: StoredObject): Promise<StoredObject> {
    const name = accountName(object.key);
    const bytes = accountBytes(object);
    const location = this.#client.urlOf(name);
    if (await (this.#isConditional ??= this.#knowsConditions())) {
      if ((await this.#putIfAbsent(name, bytes)) === 200) return object;
    } else {
      await this.#claim(object.key, bytes);
      if ((await this.find(object.key)) === undefined) await this.#put(name, { bytes });
    }
    return checkEqual(await this.#findWritten(object.key), object, location);
  }

  /** The object after it was put. Some servers answer a PUT before they can read its bytes. */
  async #findWritten(key: string): Promise<StoredObject> {
    for (let attempt = 1; ; attempt++) {
      const stored = await this.find(key);
      if (stored !== undefined) return stored;
      if (!(await this.#client.pause(attempt))) throw damaged(this.#client.urlOf(accountName(key)), "it has no account");
    }
  }

  /** Puts one name twice: a server that knows the condition refuses the second. */
  async #knowsConditions(): Promise<boolean> {
    const name = "conditional-put";
    for (let attempt = 0; attempt < 2; attempt++) {
      const status = await this.#putIfAbsent(name, Buffer.from("If-None-Match: *\n"));
      if (status !== 200) return status === 412;
    }
    return false;
  }

  async #claim(key: string, account: Uint8Array): Promise<void> {
    const claim = `objects/${key}/claim.${createHash("sha256").update(account).digest("hex")}`;
    await this.#put(claim, { bytes: Buffer.alloc(0) });
    const other = (await this.#namesOf(`objects/${key}/claim.`)).find((each) => each !== claim);
    if (other !== undefined)
      throw damaged(this.#client.urlOf(other), "another process computed other bytes for it, so the stage is not deterministic");
  }
}

async function conditionalStatus({ status, body }: S3Response, failure: (why: string) => Error): Promise<200 | 412 | 501> {
  const text = await textOf(body);
  if (status < 300) return 200;
  if (status === 412 || status === 501) return status;
  if (/NotImplemented|InvalidArgument|InvalidRequest/.test(text)) return 501;
  throw failure(`status ${status} ${text.slice(0, 200)}`);
}

const accountName = (key: string): string => `objects/${key}/account.json`;
const partName = (key: string, { name, sha256 }: StoredPart): string => `objects/${key}/${name}.${sha256.slice(0, 16)}`;
