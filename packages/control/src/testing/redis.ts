import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type RedisServer, startRedisServer } from "../redis-server.js";
import { openStore, type Store, type StoreOptions } from "../store.js";

/** A redis-server or valkey-server: LAPIDARY_REDIS_SERVER, else on the PATH, else the one that set-up provisioned. */
export function redisBinary(env: NodeJS.ProcessEnv): string {
  const named = env["LAPIDARY_REDIS_SERVER"];
  if (named !== undefined) return named;
  const onPath = (env["PATH"] ?? "")
    .split(delimiter)
    .flatMap((directory) => ["redis-server", "valkey-server"].map((name) => join(directory, name)));
  const cache = join(env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "lapidary");
  const provisioned = existsSync(cache)
    ? readdirSync(cache, { recursive: true, encoding: "utf8" })
        .filter((name) => /(^|\/)(valkey|redis)-server$/.test(name))
        .map((name) => join(cache, name))
    : [];
  const found = [...onPath, ...provisioned].find((path) => existsSync(path));
  if (found === undefined)
    throw new Error("these tests need a real Redis server: run `npm test`, or set LAPIDARY_REDIS_SERVER to the path of one");
  return found;
}

/** A server for the tests of one `describe`, stopped at its end, and a store with keys of its own for each test. */
export class TestRedis {
  directory = "";
  #server: RedisServer | undefined;
  readonly #stores: Store[] = [];
  #count = 0;
  readonly #binary: string;

  private constructor(binary: string) {
    this.#binary = binary;
  }

  /** Call it in a `describe`. */
  static use(env: NodeJS.ProcessEnv): TestRedis {
    const redis = new TestRedis(redisBinary(env));
    before(() => redis.start());
    afterEach(() => {
      for (const store of redis.#stores.splice(0)) store.close();
    });
    after(async () => {
      await redis.#server?.stop();
      rmSync(redis.directory, { recursive: true });
    });
    beforeEach(() => {
      redis.#count++;
    });
    return redis;
  }

  get server(): RedisServer {
    if (this.#server === undefined) throw new Error("the server starts before the first test");
    return this.#server;
  }

  /** Keys of the present test. */
  get namespace(): string {
    return `test${this.#count}`;
  }

  async start(): Promise<void> {
    if (this.directory === "") this.directory = mkdtempSync(join(tmpdir(), "lap-redis-"));
    this.#server = await startRedisServer({ binary: this.#binary, directory: this.directory });
  }

  async open(options: StoreOptions = {}): Promise<Store> {
    const store = await openStore(this.server.address, { namespace: this.namespace, ...options });
    this.#stores.push(store);
    return store;
  }
}

/** Waits until `condition` holds; fails when it does not in time. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`did not come true in ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
