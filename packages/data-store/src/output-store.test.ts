import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { temporaryDirectory } from "@lapidary/std/testing";
import { Account, type AccountCounts } from "./account.js";
import { ObjectStore } from "./object-store.js";
import { S3Client } from "./s3-client.js";
import { listS3 } from "./s3-list.js";
import { S3Store } from "./s3-store.js";
import { startConditionalS3Server, startS3Server, type TestS3Server } from "./testing/s3-server.js";
import { objectKey, type OutputStore, type StoredObject } from "./stored-object.js";

const key = objectKey({ code: "1", config: {}, inputs: ["x"] });
const large = Buffer.alloc(1_500_000, "0123456789");

async function* produce(parts: readonly (string | Buffer)[]): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
  const account = new Account();
  async function* chunks(part: string | Buffer): AsyncGenerator<Uint8Array> {
    account.enter();
    account.deliver("text");
    const bytes = Buffer.from(part);
    for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
  }
  for (const part of parts) yield chunks(part);
  return account.counts("test");
}

async function bytesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** A store of the suite, and a way to damage what it stored. */
interface StoreUnderTest {
  open(): OutputStore;
  /** Replaces the bytes of part 1 of the object, or removes it. */
  replacePart(change: (bytes: Buffer) => Buffer | undefined): Promise<void>;
}

/** What every store must do. */
function outputStoreSuite(prepare: () => StoreUnderTest): void {
  const put = async (store: OutputStore, parts: readonly (string | Buffer)[]): Promise<StoredObject> =>
    store.write(key, () => produce(parts));

  it("an object is absent, then stored once; who finds it does no work, also in another process", async () => {
    const under = prepare();
    const store = under.open();
    strictEqual(await store.find(key), undefined);
    const written = await put(store, ["one", large, ""]);
    deepStrictEqual(
      written.parts.map(({ name, bytes }) => [name, bytes]),
      [
        ["part-0", 3],
        ["part-1", large.length],
        ["part-2", 0],
      ],
    );
    for (const other of [store, under.open()]) {
      deepStrictEqual(await other.find(key), written);
      deepStrictEqual(
        await other.write(key, () => {
          throw new Error("the stage ran twice");
        }),
        written,
      );
      for (const [i, part] of ["one", large, ""].entries()) ok(Buffer.from(part).equals(await bytesOf(other.read(written, i))));
      await other.verify(written);
    }
    await rejects(bytesOf(store.read(written, 3)), { code: "LAP_DATA_STORE" });
  });

  it("an output whose stage fails, or whose account does not add up, is absent", async () => {
    const store = prepare().open();
    async function* failing(): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
      yield* produce(["a"]);
      throw new Error("no more");
    }
    await rejects(store.write(key, failing), /no more/);
    async function* unequal(): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
      yield* [];
      return { in: 3, out: 1, dropped: {}, bytes: 0, errors: [] };
    }
    await rejects(store.write(key, unequal), { code: "LAP_DATA_ACCOUNT" });
    strictEqual(await store.find(key), undefined);
  });

  it("two writers of one key keep the first; other bytes are an error, and the first object stays readable", async () => {
    const under = prepare();
    const [store, other] = [under.open(), under.open()];
    async function* overtaken(parts: readonly string[]): AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts> {
      await put(other, ["one", "two"]);
      return yield* produce(parts);
    }
    const same = await store.write(key, () => overtaken(["one", "two"]));
    deepStrictEqual(same, await other.find(key));
    await store.remove(key);
    strictEqual(await other.find(key), undefined);
    await rejects(
      store.write(key, () => overtaken(["one", "six"])),
      { code: "LAP_DATA_STORE", message: /not deterministic/ },
    );
    strictEqual((await bytesOf(other.read(same, 1))).toString(), "two");
    const many = await Promise.all([store, other, store, other].map((each) => put(each, ["one", "two"])));
    deepStrictEqual(new Set(many.map((each) => JSON.stringify(each))).size, 1);
  });

  it("a part that is changed, cut or missing is an error with its place, also while it is read", async () => {
    const under = prepare();
    const store = under.open();
    const written = await put(store, ["one", "two"]);
    for (const damage of [() => Buffer.from("twa"), (bytes: Buffer) => bytes.subarray(0, 2), () => undefined]) {
      await under.replacePart(damage);
      const refused = { code: "LAP_DATA_STORE", location: /part-1/ };
      await rejects(bytesOf(store.read(written, 1)), refused);
      await rejects(store.verify(written), refused);
      await store.remove(key);
      deepStrictEqual(await put(store, ["one", "two"]), written);
    }
  });

  it("of writers with different bytes at most one succeeds, and its bytes are the object", async () => {
    const under = prepare();
    const texts = ["a", "b", "c", "d"];
    const written = await Promise.allSettled(texts.map((text) => put(under.open(), ["same", text])));
    const succeeded = written.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    ok(succeeded.length <= 1, `${succeeded.length} succeeded`);
    for (const each of written) if (each.status === "rejected") match(String(each.reason), /another process computed other bytes/);
    for (const object of succeeded) deepStrictEqual([await under.open().find(key), await under.open().verify(object)], [object, undefined]);
  });

  it("a listing has the keys with their bytes, and a removed key is absent from it", async () => {
    const store = prepare().open();
    deepStrictEqual(await store.list(), []);
    const keys = Array.from({ length: 3 }, (_, i) => objectKey({ code: "1", config: { i }, inputs: [] })).sort();
    for (const each of keys) await store.write(each, () => produce(["one", "twenty"]));
    const listed = await store.list();
    deepStrictEqual(
      listed.map((each) => each.key),
      keys,
    );
    ok(
      listed.every(({ bytes }) => bytes > 9 && bytes < 2000),
      JSON.stringify(listed),
    );
    await store.remove(keys[1] ?? "");
    deepStrictEqual(
      (await store.list()).map((each) => each.key),
      [keys[0], keys[2]],
    );
    await store.removeUnfinished(() => false);
    deepStrictEqual(await put(store, ["one"]), await store.find(key));
  });

  it("each pipeline registers what it needs, in the place of what it needed before, also in another process", async () => {
    const under = prepare();
    const [a, b] = ["a", "b"].map((id) => ({ id: id.repeat(8) + "-0000-4000-8000-000000000000", file: `${id}.yaml`, keys: [key] }));
    ok(a !== undefined && b !== undefined);
    for (const each of [a, b]) await under.open().register(each);
    deepStrictEqual(await under.open().registrations(), [a, b]);
    await under.open().register({ ...a, keys: [] });
    await under.open().unregister(b.id);
    deepStrictEqual(await under.open().registrations(), [{ ...a, keys: [] }]);
    deepStrictEqual(await under.open().list(), []);
    await under.open().unregister(a.id);
  });

  it("each scratch directory is new and empty", () => {
    const store = prepare().open();
    const [first, second] = [store.makeScratch(key), store.makeScratch(key)];
    ok(first !== second && readdirSync(first).length === 0);
  });
}

function replaceFile(path: string, change: (bytes: Buffer) => Buffer | undefined): void {
  const changed = change(readFileSync(path));
  if (changed === undefined) rmSync(path);
  else writeFileSync(path, changed);
}

const prefix = "v 3/web";

/** A store of a server, opened anew each time. */
function serverSuite(server: () => TestS3Server, scratch: () => string): void {
  const open = (): S3Store => new S3Store({ ...server().access, bucket: server().bucket, prefix }, join(scratch(), "scratch"));
  outputStoreSuite(() => ({
    open,
    async replacePart(change) {
      const client = new S3Client({ ...server().access, bucket: server().bucket, prefix: "" });
      for await (const { name } of listS3(client, `${prefix}/objects/${key}/part-1.`)) {
        const changed = change(await bytesOf((await client.send({ method: "GET", name }, [200])).body));
        const request =
          changed === undefined ? ({ method: "DELETE", name } as const) : ({ method: "PUT", name, body: { bytes: changed } } as const);
        (await client.send(request, [200, 204])).body.resume();
      }
    },
  }));
}

describe("stores of outputs", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  describe("a shared directory", () => {
    outputStoreSuite(() => ({
      open: () => new ObjectStore(directory()),
      replacePart: async (change) => replaceFile(join(directory(), "objects", key, "part-1"), change),
    }));
  });

  describe("an S3-compatible server", () => {
    let server: TestS3Server;
    beforeEach(async () => {
      server = await startS3Server(join(directory(), "server"));
    });
    afterEach(() => server.close());
    const open = (endpoint = server.access.endpoint, bucket = server.bucket): S3Store =>
      new S3Store({ ...server.access, endpoint, bucket, prefix }, join(directory(), "scratch"));
    const portOf = (): number => Number(new URL(server.access.endpoint).port);

    serverSuite(() => server, directory);

    it("a claim of other bytes is an error, since the server ignores the condition of a PUT", async () => {
      const client = new S3Client({ ...server.access, bucket: server.bucket, prefix });
      const claim = { method: "PUT", name: `objects/${key}/claim.${"0".repeat(64)}`, body: { bytes: Buffer.alloc(0) } } as const;
      (await client.send(claim, [200])).body.resume();
      await rejects(
        open().write(key, () => produce(["one"])),
        { code: "LAP_DATA_STORE", message: /not deterministic/ },
      );
      strictEqual(await open().find(key), undefined);
      await open().remove(key);
      strictEqual((await open().write(key, () => produce(["one"]))).parts.length, 1);
    });

    it("a read goes on at the byte at which a connection broke", async () => {
      const written = await open().write(key, () => produce([large]));
      const proxy = await Breaking.start(portOf(), 400_000);
      try {
        ok(large.equals(await bytesOf(open(`http://127.0.0.1:${proxy.port}`).read(written, 0))));
        ok(proxy.broken >= 3, `${proxy.broken}`);
      } finally {
        await proxy.close();
      }
    });

    it("unknown credentials, a missing bucket and a server that is gone are errors with the address", async () => {
      await rejects(async () => open(undefined, "none").find(key), { code: "LAP_DATA_REMOTE", location: /none/ });
      const wrong = new S3Store(
        { ...server.access, bucket: server.bucket, prefix: "", accessKeyId: "stranger", secretAccessKey: "wrong" },
        join(directory(), "scratch"),
      );
      await rejects(async () => wrong.find(key), { code: "LAP_DATA_REMOTE", message: /403/ });
      const proxy = await Breaking.start(portOf(), 0);
      await proxy.close();
      await rejects(async () => open(`http://127.0.0.1:${proxy.port}`).find(key), { code: "LAP_DATA_REMOTE", message: /ECONNREFUSED/ });
    });
  });

  describe("an S3-compatible server with conditional requests", () => {
    let server: TestS3Server;
    before(async () => {
      server = await startConditionalS3Server();
    });
    after(() => server.close());
    afterEach(async () => {
      const store = new S3Store({ ...server.access, bucket: server.bucket, prefix }, join(directory(), "scratch"));
      for (const each of await store.list()) await store.remove(each.key);
    });
    serverSuite(() => server, directory);

    it("a listing of more names than a page is complete, also with unusual names", async () => {
      const client = new S3Client({ ...server.access, bucket: server.bucket, prefix: "" });
      const names = Array.from({ length: 7 }, (_, i) => `many/${i} a+b&<ü>.txt`);
      for (const name of names) (await client.send({ method: "PUT", name, body: { bytes: Buffer.from("x") } }, [200])).body.resume();
      const listed: string[] = [];
      for await (const { name, bytes } of listS3(client, "many/", 3)) if (bytes === 1) listed.push(name);
      deepStrictEqual(listed, names);
    });
  });
});

/** A proxy that breaks each connection after some bytes of answers. */
class Breaking {
  broken = 0;
  port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(to: number, bytes: number) {
    this.#server = createServer((client) => {
      const upstream = connect(to, "127.0.0.1");
      this.#sockets.add(client).add(upstream);
      let sent = 0;
      client.pipe(upstream);
      for (const socket of [client, upstream]) socket.on("error", () => socket.destroy());
      upstream.on("data", (chunk: Buffer) => {
        sent += chunk.length;
        client.write(chunk);
        if (sent < bytes) return;
        this.broken++;
        upstream.destroy();
        client.end();
      });
      client.on("close", () => upstream.destroy());
    });
  }

  static async start(to: number, bytes: number): Promise<Breaking> {
    const proxy = new Breaking(to, bytes);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    const address = proxy.#server.address();
    if (typeof address === "object" && address !== null) proxy.port = address.port;
    return proxy;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
