import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { temporaryDirectory } from "@lapidary/std/testing";
import { Account, type AccountCounts } from "./account.js";
import { ObjectStore } from "./object-store.js";
import { S3Store } from "./s3-store.js";
import { type S3Server, s3ServerClass } from "./testing/s3-server.js";
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

/** A store of the suite, and the files in which its server keeps the bytes. */
interface StoreUnderTest {
  open(): OutputStore;
  /** The path of each file of part 1. */
  partFiles(): readonly string[];
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
    for (const damage of [
      (file: string) => writeFileSync(file, "twa"),
      (file: string) => truncateSync(file, 2),
      (file: string) => rmSync(file),
    ]) {
      for (const file of under.partFiles()) damage(file);
      const refused = { code: "LAP_DATA_STORE", location: /part-1/ };
      await rejects(bytesOf(store.read(written, 1)), refused);
      await rejects(store.verify(written), refused);
      await store.remove(key);
      deepStrictEqual(await put(store, ["one", "two"]), written);
    }
  });

  it("each scratch directory is new and empty", () => {
    const store = prepare().open();
    const [first, second] = [store.makeScratch(), store.makeScratch()];
    ok(first !== second && readdirSync(first).length === 0);
  });
}

const filesBelow = (root: string, pattern: RegExp): string[] =>
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((path) => pattern.test(path))
    .map((path) => join(root, path));

describe("stores of outputs", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  describe("a shared directory", () => {
    outputStoreSuite(() => ({
      open: () => new ObjectStore(directory()),
      partFiles: () => filesBelow(directory(), /part-1$/),
    }));
  });

  describe("an S3-compatible server", () => {
    let server: S3Server;
    let Server: Awaited<ReturnType<typeof s3ServerClass>>;
    let port = 0;
    before(async () => {
      Server = await s3ServerClass();
    });
    beforeEach(async () => {
      mkdirSync(join(directory(), "server"));
      server = new Server({
        address: "127.0.0.1",
        port: 0,
        silent: true,
        directory: join(directory(), "server"),
        configureBuckets: [{ name: "data" }],
      });
      ({ port } = await server.run());
    });
    afterEach(() => server.close());
    const open = (at = port, bucket = "data"): S3Store =>
      new S3Store(
        {
          endpoint: `http://127.0.0.1:${at}`,
          bucket,
          prefix: "v 3/web",
          region: "us-east-1",
          accessKeyId: "S3RVER",
          secretAccessKey: "S3RVER",
        },
        join(directory(), "scratch"),
      );

    outputStoreSuite(() => ({ open: () => open(), partFiles: () => filesBelow(join(directory(), "server"), /part-1\.[^/]*_object$/) }));

    it("a read goes on at the byte at which a connection broke", async () => {
      const written = await open().write(key, () => produce([large]));
      const proxy = await Breaking.start(port, 400_000);
      try {
        ok(large.equals(await bytesOf(open(proxy.port).read(written, 0))));
        ok(proxy.broken >= 3, `${proxy.broken}`);
      } finally {
        await proxy.close();
      }
    });

    it("unknown credentials, a missing bucket and a server that is gone are errors with the address", async () => {
      await rejects(async () => open(port, "none").find(key), { code: "LAP_DATA_REMOTE", location: /none/ });
      const wrong = new S3Store(
        {
          endpoint: `http://127.0.0.1:${port}`,
          bucket: "data",
          prefix: "",
          region: "us-east-1",
          accessKeyId: "stranger",
          secretAccessKey: "wrong",
        },
        join(directory(), "scratch"),
      );
      await rejects(async () => wrong.find(key), { code: "LAP_DATA_REMOTE", message: /403/ });
      const proxy = await Breaking.start(port, 0);
      await proxy.close();
      await rejects(async () => open(proxy.port).find(key), { code: "LAP_DATA_REMOTE", message: /ECONNREFUSED/ });
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
