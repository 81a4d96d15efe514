import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@lapidary/std/testing";
import { Account, type AccountCounts } from "./account.js";
import { ObjectStore } from "./object-store.js";
import { objectKey, type StoredObject } from "./stored-object.js";
import { keyOf, partsOfObject } from "./testing/objects.js";

const main = fileURLToPath(new URL("./testing/store-main.js", import.meta.url));
const objects = 2;

async function* produce(texts: readonly string[]): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
  const account = new Account();
  async function* chunk(text: string): AsyncGenerator<Uint8Array> {
    account.enter();
    account.deliver(text);
    yield Buffer.from(text);
  }
  for (const text of texts) yield chunk(text);
  return account.counts("test");
}

/** Runs the process that stores objects. Kills it after the line `stopAt`. */
async function store(root: string, stopAt = -1): Promise<void> {
  const child = spawn(process.execPath, [main, root, String(objects), String(stopAt)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  for await (const line of createInterface({ input: child.stdout })) if (Number(line) === stopAt) child.kill("SIGKILL");
  deepStrictEqual(await exited, stopAt < 0 ? [0, null] : [null, "SIGKILL"]);
}

/** All files below a directory of objects, with their bytes. */
const filesOf = (root: string): [string, string][] =>
  readdirSync(join(root, "objects"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry): [string, string] => [join(entry.parentPath, entry.name), readFileSync(join(entry.parentPath, entry.name), "utf8")])
    .map(([path, bytes]): [string, string] => [path.slice(root.length), bytes])
    .sort(([a], [b]) => (a < b ? -1 : 1));

describe("the store of outputs", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const key = objectKey({ code: "1", config: { a: 1 }, inputs: ["x"] });

  it("a key depends on code, config and inputs, and not on the order of settings", () => {
    strictEqual(objectKey({ code: "1", config: { a: 1, b: 2 }, inputs: [] }), objectKey({ code: "1", config: { b: 2, a: 1 }, inputs: [] }));
    const keys = [
      key,
      objectKey({ code: "2", config: { a: 1 }, inputs: ["x"] }),
      objectKey({ code: "1", config: { a: 2 }, inputs: ["x"] }),
      objectKey({ code: "1", config: { a: 1 }, inputs: ["x", "x"] }),
    ];
    strictEqual(new Set(keys).size, 4);
  });

  it("an object is written once, and who finds it does no work", async () => {
    const root = new ObjectStore(directory());
    strictEqual(await root.find(key), undefined);
    const written = await root.write(key, () => produce(["one", "two"]));
    deepStrictEqual(
      [written.account.out, written.parts.map(({ name, bytes }) => [name, bytes])],
      [
        2,
        [
          ["part-0", 3],
          ["part-1", 3],
        ],
      ],
    );
    const again = await root.write(key, () => {
      throw new Error("the stage ran twice");
    });
    deepStrictEqual(again, written);
    await root.verify(again);
    deepStrictEqual(readdirSync(join(directory(), "unfinished")), []);
  });

  it("an output whose account does not add up, or whose stage fails, is not stored", async () => {
    const root = new ObjectStore(directory());
    async function* unequal(): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
      yield* [];
      return { in: 3, out: 1, dropped: { x: 1 }, bytes: 0, errors: [] };
    }
    await rejects(root.write(key, unequal), { code: "LAP_DATA_ACCOUNT" });
    async function* failing(): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
      yield produce(["a"]) as AsyncGenerator<never>;
      throw new Error("no more");
    }
    await rejects(root.write(key, failing));
    strictEqual(await root.find(key), undefined);
    deepStrictEqual(readdirSync(join(directory(), "unfinished")), []);
  });

  it("two processes that write one key at the same time keep the first, and other bytes are an error", async () => {
    const root = new ObjectStore(directory());
    async function* overtaken(texts: readonly string[]): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
      await root.write(key, () => produce(["one"]));
      return yield* produce(texts);
    }
    strictEqual((await root.write(key, () => overtaken(["one"]))).parts.length, 1);
    await root.remove(key);
    await rejects(
      root.write(key, () => overtaken(["two"])),
      { code: "LAP_DATA_STORE", message: /not deterministic/ },
    );
    strictEqual(readFileSync(root.pathOf((await root.find(key)) as StoredObject, { name: "part-0", bytes: 3, sha256: "" }), "utf8"), "one");
  });

  it("a part that is changed, cut or missing, and a damaged account, are errors with their path", async () => {
    const root = new ObjectStore(directory());
    const written = await root.write(key, () => produce(["one", "two"]));
    const part = join(directory(), "objects", key, "part-1");
    for (const damage of [() => writeFileSync(part, "twa"), () => truncateSync(part, 2), () => rmSync(part)]) {
      damage();
      await rejects(root.verify(written), { code: "LAP_DATA_STORE", location: part });
    }
    const account = join(directory(), "objects", key, "account.json");
    const text = readFileSync(account, "utf8");
    for (const bad of ["", text.slice(0, 40), text.replace(key, keyOf(1))]) {
      writeFileSync(account, bad);
      await rejects(root.find(key), { code: "LAP_DATA_STORE", location: account });
    }
    writeFileSync(account, text.replace('"in":2', '"in":3'));
    await rejects(root.find(key), { code: "LAP_DATA_ACCOUNT" });
  });

  it("a process killed at any step leaves complete objects or none, and the next one ends with the bytes of an undisturbed run", async () => {
    const calm = join(directory(), "calm");
    await store(calm);
    const undisturbed = filesOf(calm);
    strictEqual(undisturbed.length, objects * (partsOfObject + 1));
    const root = join(directory(), "killed");
    const steps = 2 * partsOfObject + 1;
    // Each process finds the objects of those before it, so it starts at the first that is missing.
    for (let object = 0; object < objects; object++)
      for (const at of [0, 1, 2, 5, steps - 1]) {
        await store(root, object + at);
        const found = await Promise.all(Array.from({ length: objects }, (_, i) => new ObjectStore(root).find(keyOf(i))));
        strictEqual(found.filter((each) => each !== undefined).length, object + (at === steps - 1 ? 1 : 0), `object ${object}, step ${at}`);
        for (const each of found) if (each !== undefined) await new ObjectStore(root).verify(each);
      }
    ok(readdirSync(join(root, "unfinished")).length > 0);
    await store(root);
    deepStrictEqual(filesOf(root), undisturbed);
    await new ObjectStore(root).removeUnfinished(() => false);
    deepStrictEqual(readdirSync(join(root, "unfinished")), []);
  });
});
