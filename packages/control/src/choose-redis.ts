import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type RedisServer, redisServerProcess, startRedisServer } from "./redis-server.js";
import { openStore, type Store } from "./store.js";
import { LapidaryError } from "@lapidary/std";
import type { RedisServerFinding } from "../../../tools/setup/checks.mjs";
import { homeIdentity } from "@lapidary/api/home-identity";
import { isProcessAlive } from "@lapidary/std/process-id";

/** The user's Redis by its address, or a private one from a server binary. */
export type RedisChoice = { readonly url: string } | { readonly binary: string };

export interface OpenRedis {
  readonly store: Store;
  /** Closes the connection, and ends the server if it is private. */
  close(): Promise<void>;
}

/** Events of a private server in use. */
export interface RedisEvents {
  /** The server died and was started again. Writes of the last second may be lost. */
  readonly restarted: () => void;
  readonly onError: (error: LapidaryError) => void;
}

/** Interval of the check whether the server runs. */
const checkInterval_ms = 500;

/**
 * Connects to the user's Redis, or starts a private one, and restarts it whenever it ends.
 *
 * @throws LAP_REDIS_…
 */
export async function openRedis(choice: RedisChoice, home: string, events: RedisEvents): Promise<OpenRedis> {
  // Several homes may share one Redis.
  const namespace = `lapidary-${homeIdentity(home)}`;
  if ("url" in choice) {
    const store = await openStore(choice, { namespace });
    return {
      store,
      async close() {
        store.close();
      },
    };
  }
  const start = (): Promise<RedisServer> => startRedisServer({ binary: choice.binary, directory: redisDirectory(home) });
  let server = await start();
  try {
    const store = await openStore(server.address, { namespace });
    let checking: Promise<void> = Promise.resolve();
    let isChecking = false;
    const check = async (): Promise<void> => {
      if (isProcessAlive(server.pid)) return;
      try {
        server = await start();
        events.restarted();
      } catch (error) {
        if (!(error instanceof LapidaryError)) throw error;
        events.onError(error);
      }
    };
    const timer = setInterval(() => {
      if (isChecking) return;
      isChecking = true;
      checking = check().finally(() => {
        isChecking = false;
      });
    }, checkInterval_ms);
    timer.unref();
    return {
      store,
      async close() {
        clearInterval(timer);
        await checking;
        store.close();
        await server.stop();
      },
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/**
 * Describes the server at an address in one line: version, database, eviction policy. The line never contains user or password.
 *
 * @throws LAP_REDIS_…, as `up` throws it
 */
export async function describeRedis(url: string): Promise<string> {
  const store = await openStore({ url });
  try {
    const info = await store.run((redis) => redis.info());
    const field = (name: string): string => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "unknown";
    const database = /^\/(\d+)/.exec(new URL(url).pathname)?.[1] ?? "0";
    return `REDIS_URL ${store.displayAddress}: version ${field("redis_version")}, database ${database}, maxmemory-policy ${field("maxmemory_policy")}`;
  } finally {
    store.close();
  }
}

/** The process of the private Redis of a home directory, if it runs. */
export const redisProcess = (home: string): number | undefined => redisServerProcess(redisDirectory(home));

const redisDirectory = (home: string): string => join(home, "redis");

/** Ends the private Redis of a home directory whose coordinator died. */
export async function stopLeftRedis(home: string): Promise<void> {
  if (!existsSync(join(redisDirectory(home), "redis.pid"))) return;
  let server: RedisServer;
  try {
    // A server that listens is adopted, and no binary is needed.
    server = await startRedisServer({ binary: join(redisDirectory(home), "none"), directory: redisDirectory(home) });
  } catch (error) {
    if (error instanceof LapidaryError && error.code === "LAP_REDIS_BINARY") return;
    throw error;
  }
  await server.stop();
}

/**
 * The address from `--redis` or the environment, or else the server that the set-up found or provided.
 *
 * @param redis a URL, or `auto`
 * @throws LAP_REDIS_MISSING if there is neither
 */
export async function chooseRedis(redis: string, root: string, env: NodeJS.ProcessEnv): Promise<RedisChoice> {
  const url = redis === "auto" ? env.REDIS_URL : redis;
  if (url !== undefined && url !== "") return { url };
  const { redisServer } = (await import(pathToFileURL(join(root, "tools/setup/checks.mjs")).href)) as {
    redisServer: (where: { env: NodeJS.ProcessEnv }) => RedisServerFinding;
  };
  const { path: binary, detail } = redisServer({ env });
  if (binary !== undefined) return { binary };
  throw new LapidaryError({
    code: "LAP_REDIS_MISSING",
    message: `there is no Redis server to start: ${detail}`,
    location: "redis",
  });
}
