import { LapidaryError } from "@lapidary/std";
import { Redis } from "ioredis";
import { isOldRedis, oldestRedisName } from "../../../tools/setup/redis-version.mjs";
import { explainRedisError, PermanentRedisError, unreachableError } from "./errors.js";

/** The address of a Redis server: the socket of the private one, or the URL of one that the user runs. */
export type RedisAddress = { readonly socket: string } | { readonly url: string };

export interface StoreOptions {
  /** Prefix of every key. Default `lapidary`. */
  readonly namespace?: string;
  /** Time limit of a command and of opening, reconnection included. Default 5000. */
  readonly timeoutMs?: number;
}

/** Milliseconds until the next attempt to connect. The first ones come fast, for a server that restarts; later ones every second. */
const retryDelayMs = (attempt: number): number => Math.min(1000, 25 * 2 ** Math.min(attempt, 10));

/** What a connection does with commands while the server is unreachable (names of ioredis). */
interface CommandPolicy {
  readonly enableOfflineQueue: boolean;
  readonly maxRetriesPerRequest: number | null;
  readonly autoResendUnfulfilledCommands: boolean;
}

/** No command is queued or sent again; a command in flight is rejected when the connection breaks (`null` would leave it pending). */
const boundedCommands: CommandPolicy = { enableOfflineQueue: false, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false };

/**
 * A connection to Redis whose commands succeed or fail within a bounded time. It reconnects until it is closed. A command
 * given while the server is unreachable waits until its timeout; after the timeout it is *never* sent.
 */
export class Store {
  readonly namespace: string;
  readonly timeoutMs: number;
  /** The address without user and password, for logs and errors. */
  readonly displayAddress: string;
  readonly #address: RedisAddress;
  readonly #redis: Redis;
  readonly #duplicates = new Set<Redis>();

  /** Use `openStore`. */
  constructor(displayAddress: RedisAddress, options: StoreOptions) {
    this.namespace = options.namespace ?? "lapidary";
    this.timeoutMs = options.timeoutMs ?? 5000;
    this.displayAddress = displayedAddress(displayAddress);
    this.#address = displayAddress;
    this.#redis = this.#make(boundedCommands);
  }

  /** A key of this namespace, such as `lapidary:job-names`. */
  key(...parts: readonly string[]): string {
    return [this.namespace, ...parts].join(":");
  }

  /**
   * Runs commands.
   *
   * @throws LAP_REDIS_UNREACHABLE after `timeoutMs` without a reply; a command that was already sent may have run
   */
  async run<T>(command: (redis: Redis) => Promise<T>, timeoutMs = this.timeoutMs): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    try {
      await this.#ready(timeoutMs);
      return await withTimeout(command(this.#redis), deadline - performance.now(), () =>
        unreachableError(this.displayAddress, `no answer within ${timeoutMs} ms`),
      );
    } catch (error) {
      throw explainRedisError(this.displayAddress, error);
    }
  }

  /** A separate connection for blocking commands; if it breaks, the command in flight is rejected. Closed with the store. */
  duplicate(): Redis {
    return this.#track(this.#make({ ...boundedCommands, enableOfflineQueue: true }));
  }

  /** A separate connection for a BullMQ worker: commands wait for the server without a time limit. Closed with the store. */
  blockingConnection(): Redis {
    return this.#track(this.#make({ enableOfflineQueue: true, maxRetriesPerRequest: null, autoResendUnfulfilledCommands: true }));
  }

  /** The connection itself, for BullMQ, which sets no time limit: use it only within `run`. */
  get connection(): Redis {
    return this.#redis;
  }

  close(): void {
    for (const redis of [this.#redis, ...this.#duplicates]) redis.disconnect();
  }

  async #ready(timeoutMs: number): Promise<void> {
    const redis = this.#redis;
    if (redis.status === "ready") return;
    if (redis.status === "end") throw unreachableError(this.displayAddress, "this store is closed");
    let last: unknown = unreachableError(this.displayAddress, `no connection within ${timeoutMs} ms`);
    let stop = (): void => undefined;
    const ready = new Promise<void>((resolve, reject) => {
      const end = (): void => reject(unreachableError(this.displayAddress, "this store was closed"));
      const fail = (error: unknown): void => {
        last = explainRedisError(this.displayAddress, error);
        if (last instanceof PermanentRedisError) reject(last);
      };
      redis.on("error", fail);
      redis.once("ready", resolve);
      redis.once("end", end);
      stop = () => {
        redis.off("error", fail);
        redis.off("ready", resolve);
        redis.off("end", end);
      };
    });
    try {
      await withTimeout(ready, timeoutMs, () => last);
    } finally {
      stop();
    }
  }

  #track(redis: Redis): Redis {
    this.#duplicates.add(redis);
    redis.once("end", () => this.#duplicates.delete(redis));
    return redis;
  }

  #make(policy: CommandPolicy): Redis {
    const options = { ...policy, retryStrategy: retryDelayMs, connectTimeout: this.timeoutMs, replyMapping: "legacy" } as const;
    const redis = "socket" in this.#address ? new Redis({ ...options, path: this.#address.socket }) : new Redis(this.#address.url, options);
    // Without a listener a lost connection would end the process. The caller of a command receives the error.
    redis.on("error", () => undefined);
    return redis;
  }
}

/**
 * Connects, and checks that this server is fit to keep jobs.
 *
 * @throws LAP_REDIS_UNREACHABLE, LAP_REDIS_REFUSED, LAP_REDIS_URL; LAP_REDIS_EVICTS when the server may drop keys; LAP_REDIS_VERSION; LAP_REDIS_CLUSTER
 */
export async function openStore(address: RedisAddress, options: StoreOptions = {}): Promise<Store> {
  if ("url" in address) checkUrl(address.url);
  const store = new Store(address, options);
  try {
    checkServer(store.displayAddress, await store.run((redis) => redis.info()));
    return store;
  } catch (error) {
    store.close();
    throw error instanceof Error && error.name === "ReplyError"
      ? unreachableError(store.displayAddress, `the server rejects the first command: ${error.message}`, error)
      : error;
  }
}

function checkUrl(url: string): void {
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) throw urlError("not a Redis URL: expected redis:// or rediss://");
  const { username, password, pathname, search, hash } = new URL(url);
  try {
    for (const part of [username, password]) decodeURIComponent(part);
  } catch {
    throw urlError("invalid Redis URL: user or password contains a % that does not start an escape such as %25");
  }
  // The text before the @ would be parsed as the host, and shown.
  if (`${pathname}${search}${hash}`.includes("@"))
    throw urlError("invalid Redis URL: an @ follows a /, ? or #, which user and password cannot contain unescaped");
  // ioredis would use database 0.
  if (!/^(\/(-?\d+)?)?$/.test(pathname)) throw urlError("invalid Redis URL: the database is not a number");
}

function urlError(message: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_URL",
    message,
    location: "redis URL",
  });
}

/** @param info the reply to the command INFO */
function checkServer(location: string, info: string): void {
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
  if (field("cluster_enabled") === "1")
    throw new LapidaryError({
      code: "LAP_REDIS_CLUSTER",
      message:
        "unsupported Redis: this server is a node of a cluster, and a cluster does not allow the multi-key commands of the job queue",
      location,
    });
  const policy = field("maxmemory_policy");
  if (policy !== "noeviction")
    throw new LapidaryError({
      code: "LAP_REDIS_EVICTS",
      message: `unsafe Redis: with maxmemory-policy ${policy || "unknown"} it drops keys when its memory is full, and jobs would be lost`,
      location,
    });
  const version = field("redis_version");
  if (isOldRedis(version))
    throw new LapidaryError({
      code: "LAP_REDIS_VERSION",
      message: `unsupported Redis version ${version || "unknown"}: at least ${oldestRedisName} is needed`,
      location,
      remedy: `set REDIS_URL to the address of a newer server, or unset it and run \`lapidary setup redis\`: \`lapidary up\` then starts a private server`,
    });
}

function displayedAddress(address: RedisAddress): string {
  if ("socket" in address) return address.socket;
  if (!URL.canParse(address.url)) return "redis URL";
  const url = new URL(address.url);
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** The outcome of `promise`, or `late()` thrown once `ms` have passed; a later outcome is dropped. */
export async function withTimeout<T>(promise: Promise<T>, ms: number, timeoutError: () => unknown): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timeoutError()), Math.max(0, ms));
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => undefined);
  }
}
