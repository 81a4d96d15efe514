import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { redisServer } from "../../../../tools/setup/checks.mjs";
import { type RedisServer, startRedisServer } from "../redis-server.js";
import { openStore, type Store, type StoreOptions } from "../store.js";

/** Path of a redis-server or valkey-server: LAPIDARY_REDIS_SERVER, or the server that `lapidary up` would start. */
export function redisBinary(env: NodeJS.ProcessEnv): string {
  const named = env["LAPIDARY_REDIS_SERVER"];
  if (named !== undefined) return named;
  const { path, detail } = redisServer({ env });
  if (path === undefined)
    throw new Error(`these tests need a real Redis server: ${detail}. Run \`npm test\`, or set LAPIDARY_REDIS_SERVER to its path.`);
  return path;
}

/** A server for the tests of one `describe`, stopped at its end; each test gets its own key namespace. */
export class TestRedis {
  directory = "";
  #server: RedisServer | undefined;
  readonly #stores: Store[] = [];
  #count = 0;
  readonly #binary: string;

  private constructor(binary: string) {
    this.#binary = binary;
  }

  /** Call this in a `describe`. */
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

  /** The key namespace of the current test. */
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

/** Waits until `condition` is true. The limit only ends a test that hangs, so it is long: a busy machine must not fail a test. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 240_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`timeout after ${timeoutMs} ms, still waiting for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
