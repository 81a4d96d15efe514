import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openStore, type RedisServer, startRedisServer, type Store } from "@lapidary/control";
import { ExitCode, LapidaryError } from "@lapidary/std";

/** The user's Redis by its address, or a private one from a server binary. */
export type RedisChoice = { readonly url: string } | { readonly binary: string };

export interface OpenRedis {
  readonly store: Store;
  /** Closes the connection, and ends the server if it is private. */
  close(): Promise<void>;
}

/** @throws LAP_REDIS_… */
export async function openRedis(choice: RedisChoice, home: string): Promise<OpenRedis> {
  // Several homes may share one Redis.
  const namespace = `lapidary-${createHash("sha256").update(home).digest("hex").slice(0, 12)}`;
  if ("url" in choice) {
    const store = await openStore(choice, { namespace });
    return {
      store,
      async close() {
        store.close();
      },
    };
  }
  const server = await startRedisServer({ binary: choice.binary, directory: redisDirectory(home) });
  try {
    const store = await openStore(server.address, { namespace });
    return {
      store,
      async close() {
        store.close();
        await server.stop();
      },
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

const redisDirectory = (home: string): string => join(home, "redis");

/** Ends the private Redis of a home directory whose coordinator died without doing so. */
export async function stopLeftRedis(home: string): Promise<void> {
  if (!existsSync(join(redisDirectory(home), "redis.pid"))) return;
  let server: RedisServer;
  try {
    // A server that listens is adopted; there is no binary to start another.
    server = await startRedisServer({ binary: join(redisDirectory(home), "none"), directory: redisDirectory(home) });
  } catch (error) {
    if (error instanceof LapidaryError && error.code === "LAP_REDIS_BINARY") return;
    throw error;
  }
  await server.stop();
}

/**
 * What `--redis` and the environment say: an address, or else the server that the set-up found or provided.
 *
 * @param redis a URL, or `auto`
 * @throws LAP_REDIS_MISSING when there is neither
 */
export async function chooseRedis(redis: string, root: string, env: NodeJS.ProcessEnv): Promise<RedisChoice> {
  const url = redis === "auto" ? env.REDIS_URL : redis;
  if (url !== undefined && url !== "") return { url };
  const { redisServerPath } = (await import(pathToFileURL(join(root, "tools/setup/checks.mjs")).href)) as {
    redisServerPath: (where: { env: NodeJS.ProcessEnv }) => string | undefined;
  };
  const binary = redisServerPath({ env });
  if (binary !== undefined) return { binary };
  throw new LapidaryError({
    code: "LAP_REDIS_MISSING",
    message: "there is no Redis server to start",
    place: "redis",
    remedy: "run `npm run setup`, or give the address of a running server in REDIS_URL",
    exit: ExitCode.unreachable,
  });
}
