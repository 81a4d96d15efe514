import { LapidaryError } from "@lapidary/std";
import { Redis } from "ioredis";
import { isOldRedis, oldestRedisName } from "../../../tools/setup/redis-version.mjs";
import { LastingRedisError, explainRedisError, unreachableError } from "./errors.js";

/** Where a Redis server is: the private one's socket, or one that the user runs. */
export type RedisAddress = { readonly socket: string } | { readonly url: string };

export interface StoreOptions {
  /** Begins every key. Default `lapidary`. */
  readonly namespace?: string;
  /** How long a command, or opening, may take, reconnection included. Default 5000. */
  readonly timeoutMs?: number;
}

/** Milliseconds until the next attempt to connect: soon at first, for a server that restarts; then every second. */
const retryDelayMs = (attempt: number): number => Math.min(1000, 25 * 2 ** Math.min(attempt, 10));

/** How a connection treats commands while the server is away (names of ioredis). */
interface Manner {
  readonly enableOfflineQueue: boolean;
  readonly maxRetriesPerRequest: number | null;
  readonly autoResendUnfulfilledCommands: boolean;
}

/** Nothing is queued, nothing sent again; what was on its way when the connection broke is rejected (`null` would leave it hanging). */
const boundedCommands: Manner = { enableOfflineQueue: false, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false };

/**
 * A connection to Redis whose commands end within a bounded time, one way or the other. It reconnects by itself for as
 * long as it is open: a command that is given while the server is away waits for it until its time is up, and is then
 * *not* carried out later.
 */
export class Store {
  readonly namespace: string;
  readonly timeoutMs: number;
  /** The address as it may be shown: without a password. */
  readonly place: string;
  readonly #address: RedisAddress;
  readonly #redis: Redis;
  readonly #duplicates = new Set<Redis>();

  /** Use `openStore`. */
  constructor(address: RedisAddress, options: StoreOptions) {
    this.namespace = options.namespace ?? "lapidary";
    this.timeoutMs = options.timeoutMs ?? 5000;
    this.place = placeOf(address);
    this.#address = address;
    this.#redis = this.#make(boundedCommands);
  }

  /** `lapidary:job-names` and the like. */
  key(...parts: readonly string[]): string {
    return [this.namespace, ...parts].join(":");
  }

  /**
   * Carries out commands.
   *
   * @throws LAP_REDIS_UNREACHABLE within `timeoutMs` when the server is away, or stays away too long; what was sent before may have been done
   */
  async run<T>(command: (redis: Redis) => Promise<T>, timeoutMs = this.timeoutMs): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    try {
      await this.#ready(timeoutMs);
      return await within(command(this.#redis), deadline - performance.now(), () =>
        unreachableError(this.place, `no answer within ${timeoutMs} ms`),
      );
    } catch (error) {
      throw explainRedisError(this.place, error);
    }
  }

  /** A connection of its own for commands that block; a command that it carries when it breaks is rejected. Closed with the store. */
  duplicate(): Redis {
    return this.#keep(this.#make({ ...boundedCommands, enableOfflineQueue: true }));
  }

  /** A connection as a BullMQ worker wants it: commands wait for the server for ever. Closed with the store. */
  patientDuplicate(): Redis {
    return this.#keep(this.#make({ enableOfflineQueue: true, maxRetriesPerRequest: null, autoResendUnfulfilledCommands: true }));
  }

  /** The connection itself, for BullMQ, which bounds nothing: only within `run`. */
  get connection(): Redis {
    return this.#redis;
  }

  close(): void {
    for (const redis of [this.#redis, ...this.#duplicates]) redis.disconnect();
  }

  async #ready(timeoutMs: number): Promise<void> {
    const redis = this.#redis;
    if (redis.status === "ready") return;
    if (redis.status === "end") throw unreachableError(this.place, "this store is closed");
    let last: unknown = unreachableError(this.place, `no connection within ${timeoutMs} ms`);
    let stop = (): void => undefined;
    const ready = new Promise<void>((resolve, reject) => {
      const end = (): void => reject(unreachableError(this.place, "this store was closed"));
      const fail = (error: unknown): void => {
        last = explainRedisError(this.place, error);
        if (last instanceof LastingRedisError) reject(last);
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
      await within(ready, timeoutMs, () => last);
    } finally {
      stop();
    }
  }

  #keep(redis: Redis): Redis {
    this.#duplicates.add(redis);
    redis.once("end", () => this.#duplicates.delete(redis));
    return redis;
  }

  #make(manner: Manner): Redis {
    const options = { ...manner, retryStrategy: retryDelayMs, connectTimeout: this.timeoutMs, replyMapping: "legacy" } as const;
    const redis = "socket" in this.#address ? new Redis({ ...options, path: this.#address.socket }) : new Redis(this.#address.url, options);
    // Without a listener a lost connection would end the process; whoever gives a command hears of it.
    redis.on("error", () => undefined);
    return redis;
  }
}

/**
 * Connects, and looks whether this server can be trusted with jobs.
 *
 * @throws LAP_REDIS_UNREACHABLE, LAP_REDIS_REFUSED, LAP_REDIS_URL; LAP_REDIS_EVICTS when the server may drop keys; LAP_REDIS_VERSION; LAP_REDIS_CLUSTER
 */
export async function openStore(address: RedisAddress, options: StoreOptions = {}): Promise<Store> {
  if ("url" in address) checkUrl(address.url);
  const store = new Store(address, options);
  try {
    checkServer(store.place, await store.run((redis) => redis.info()));
    return store;
  } catch (error) {
    store.close();
    throw error instanceof Error && error.name === "ReplyError"
      ? unreachableError(store.place, `it refuses the first command: ${error.message}`, error)
      : error;
  }
}

function checkUrl(url: string): void {
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) throw urlError("this is not the address of a Redis server");
  const { username, password, pathname, search, hash } = new URL(url);
  try {
    for (const part of [username, password]) decodeURIComponent(part);
  } catch {
    throw urlError("user or password have a % that does not begin an escape like %25");
  }
  // The part before it would be read as the host, and shown.
  if (`${pathname}${search}${hash}`.includes("@")) throw urlError("an @ follows a /, ? or #, which user and password cannot have");
  // ioredis would take database 0.
  if (!/^(\/(-?\d+)?)?$/.test(pathname)) throw urlError("the database is not a number");
}

function urlError(message: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_URL",
    message,
    place: "redis URL",
  });
}

/** @param info what the command INFO answers */
function checkServer(place: string, info: string): void {
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
  if (field("cluster_enabled") === "1")
    throw new LapidaryError({
      code: "LAP_REDIS_CLUSTER",
      message: "this Redis is a node of a cluster; the job queue changes several keys at once, which a cluster does not allow",
      place,
    });
  const policy = field("maxmemory_policy");
  if (policy !== "noeviction")
    throw new LapidaryError({
      code: "LAP_REDIS_EVICTS",
      message: `this Redis drops keys when its memory is full (maxmemory-policy ${policy || "unknown"}), and so would lose jobs`,
      place,
    });
  const version = field("redis_version");
  if (isOldRedis(version))
    throw new LapidaryError({
      code: "LAP_REDIS_VERSION",
      message: `this Redis has version ${version || "unknown"}, at least ${oldestRedisName} is needed`,
      place,
      remedy: `give the address of a newer server in REDIS_URL, or unset REDIS_URL and run \`npm run setup redis\`: \`lapidary up\` then starts its own`,
    });
}

function placeOf(address: RedisAddress): string {
  if ("socket" in address) return address.socket;
  if (!URL.canParse(address.url)) return "redis URL";
  const url = new URL(address.url);
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** The outcome of `promise`, or `late()` thrown once `ms` have passed; a later outcome is dropped. */
export async function within<T>(promise: Promise<T>, ms: number, late: () => unknown): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), Math.max(0, ms));
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => undefined);
  }
}
