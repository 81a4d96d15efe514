import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { directoryStamp, LapidaryError, socketPathFor } from "@lapidary/std";
import { openStore, type RedisAddress, type Store } from "./store.js";

export interface RedisServerOptions {
  /** Path of redis-server or valkey-server. */
  readonly binary: string;
  /** Where its data, log, pid file and (unless the path is too long) socket lie. */
  readonly directory: string;
  /** How long starting may take, loading the data included. Default 20000. */
  readonly timeoutMs?: number;
}

/** How often a condition is looked at again. */
const pollMs = 15;

/**
 * A private Redis server: reachable by this user alone over a unix socket, durable to within a second (append-only file),
 * never evicting. It is a session of its own, so it outlives the process that started it until `stop`.
 *
 *   directory/
 *     redis.sock       where it listens (`socketPathFor` moves it when the path is too long)
 *     redis.pid        written by the server
 *     redis.socket     the path of the socket, and the stamp of this directory
 *     redis.log        what it says
 *     starting.lock    pid of the process that is starting it
 *     appendonlydir/   the data
 */
export class RedisServer {
  readonly address: RedisAddress;
  readonly socket: string;
  readonly pid: number;
  /** Whether it was already running. */
  readonly adopted: boolean;

  /** Use `startRedisServer`. */
  constructor(socket: string, pid: number, adopted: boolean) {
    this.address = { socket };
    this.socket = socket;
    this.pid = pid;
    this.adopted = adopted;
  }

  /** Ends the server after it wrote its data; resolves once the process is gone. A server that hangs is killed. */
  async stop(timeoutMs = 10_000): Promise<void> {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      if (!isServing(this.pid, this.socket)) return;
      process.kill(this.pid, signal);
      await until(() => !isServing(this.pid, this.socket), timeoutMs);
    }
  }
}

/**
 * Starts the server of `directory`, or adopts the one that already runs there. Two processes may call this at once: one
 * starts it, the other adopts it.
 *
 * @throws LAP_REDIS_BINARY, LAP_REDIS_START with the last words of the server, LAP_REDIS_EVICTS when the adopted one was reconfigured
 */
export async function startRedisServer(options: RedisServerOptions): Promise<RedisServer> {
  const { directory } = options;
  const timeoutMs = options.timeoutMs ?? 20_000;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const socket = await socketOf(directory);
  const lock = join(directory, "starting.lock");
  const deadline = performance.now() + timeoutMs;
  const left = (): number => Math.max(1, deadline - performance.now());
  while (!takeLock(lock)) {
    if (performance.now() > deadline) throw startError(directory, `another process has been starting it for ${timeoutMs} ms`);
    await pause(pollMs);
  }
  try {
    const adopted = (await isListening(socket)) ? await adoptUnlessDying(socket, left()) : undefined;
    if (adopted !== undefined) return adopted;
    rmSync(socket, { force: true });
    return await start(options, socket, left());
  } finally {
    rmSync(lock, { force: true });
  }
}

/**
 * Where the server of a directory listens. A long path has its socket under the temporary directory, whose place may change from one command
 * to the next: a server that runs is found where it was started.
 */
async function socketOf(directory: string): Promise<string> {
  const recorded = recordedSocket(directory);
  if (recorded !== undefined && (await isListening(recorded))) return recorded;
  const socket = socketPathFor(join(directory, "redis.sock"));
  if (socket !== recorded) writeFileSync(socketRecord(directory), `${socket}\n${directoryStamp(directory)}\n`, { mode: 0o600 });
  return socket;
}

const socketRecord = (directory: string): string => join(directory, "redis.socket");

/** Where the server of a directory was started to listen. In a copy of the directory: undefined, because that is the server of the original. */
function recordedSocket(directory: string): string | undefined {
  const path = socketRecord(directory);
  const [socket = "", stamp] = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  return socket !== "" && stamp === directoryStamp(directory) ? socket : undefined;
}

/** The process of the server of a directory, if it runs. A process that got its number later does not count. */
export function redisServerProcess(directory: string): number | undefined {
  const path = join(directory, "redis.pid");
  const socket = recordedSocket(directory);
  if (socket === undefined || !existsSync(path)) return undefined;
  const pid = Number(readFileSync(path, "utf8"));
  return Number.isInteger(pid) && pid > 0 && isServing(pid, socket) ? pid : undefined;
}

/** The server at the socket, or undefined if it ended while it was asked: a killed process may take connections until all its threads are gone. */
async function adoptUnlessDying(socket: string, timeoutMs: number): Promise<RedisServer | undefined> {
  try {
    return await adopt(socket, timeoutMs);
  } catch (error) {
    if (await isListening(socket)) throw error;
    return undefined;
  }
}

async function adopt(socket: string, timeoutMs: number): Promise<RedisServer> {
  return new RedisServer(socket, await ask(socket, timeoutMs), true);
}

async function start(options: RedisServerOptions, socket: string, timeoutMs: number): Promise<RedisServer> {
  const { binary, directory } = options;
  const log = join(directory, "redis.log");
  const logBegin = existsSync(log) ? statSync(log).size : 0;
  const output = openSync(log, "a", 0o600);
  let failure: string | undefined;
  let child: ChildProcess;
  try {
    // prettier-ignore
    child = spawn(
      binary,
      [
        "--port",
        "0",
        "--unixsocket",
        socket,
        "--unixsocketperm",
        "600",
        "--dir",
        directory,
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
        "--pidfile",
        join(directory, "redis.pid"),
        "--daemonize",
        "no",
      ],
      { detached: true, stdio: ["ignore", output, output] },
    );
  } finally {
    closeSync(output);
  }
  const exited = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      failure = error.message;
      resolve();
    });
    child.once("exit", (code, signal) => {
      failure ??= `it ended at once (${signal ?? `exit code ${code}`})`;
      resolve();
    });
  });
  child.unref();
  const { pid } = child;
  if (pid === undefined) {
    await exited;
    throw binaryError(binary, failure ?? "it cannot be executed");
  }
  try {
    const listening = await until(async () => failure !== undefined || (await isListening(socket)), timeoutMs);
    if (failure !== undefined || !listening)
      throw startError(directory, failure ?? `it does not listen after ${timeoutMs} ms`, lastWords(log, logBegin));
    return new RedisServer(socket, await ask(socket, timeoutMs), false);
  } catch (error) {
    if (isAlive(pid)) process.kill(pid, "SIGKILL");
    await exited;
    throw error;
  }
}

/** Waits until the server at the socket has loaded its data, checks it, and returns its pid. */
async function ask(socket: string, timeoutMs: number): Promise<number> {
  let store: Store | undefined;
  try {
    store = await openStore({ socket }, { timeoutMs });
    return pidIn(await store.run((redis) => redis.info("server")));
  } finally {
    store?.close();
  }
}

function pidIn(info: string): number {
  return Number(/^process_id:(\d+)/m.exec(info)?.[1]);
}

/** Whether `pid` is the server at the socket, not a process that got its number later: Redis names its socket in its title. */
function isServing(pid: number, socket: string): boolean {
  if (!isAlive(pid)) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(socket);
  } catch {
    // Gone just now, or a system without /proc, where the number has to do.
    return !existsSync("/proc/self/stat");
  }
}

function isListening(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

/** Creates the lock file with our pid in it; removes one whose process is gone. */
function takeLock(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    const { code = "" } = error as { code?: string };
    // On a full disk the file is empty or absent, and a server must still be stopped.
    if (["ENOSPC", "EDQUOT"].includes(code)) return true;
    if (code !== "EEXIST") throw error;
  }
  try {
    const owner = Number(readFileSync(path, "utf8"));
    // An empty file is one that is just being written, unless it has been so for a while.
    const abandoned = owner > 0 ? !isAlive(owner) : Date.now() - statSync(path).mtimeMs > 5000;
    if (abandoned) rmSync(path, { force: true });
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
  }
  return false;
}

/** Whether a process runs; one that ended and was not yet reaped does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
  try {
    return !/^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // No /proc here (macOS), or gone between the two looks.
    return !existsSync("/proc/self/stat");
  }
}

async function until(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) return false;
    await pause(pollMs);
  }
  return true;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The last lines that the server wrote in this attempt. */
function lastWords(log: string, begin: number): string {
  return readFileSync(log).subarray(begin).toString("utf8").trim().split("\n").slice(-3).join(" | ");
}

function binaryError(binary: string, why: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_BINARY",
    message: `cannot run the Redis server: ${why}`,
    place: binary,
  });
}

function startError(directory: string, why: string, words = ""): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_START",
    message: `the private Redis server does not start: ${why}${words === "" ? "" : ` | ${words}`}`,
    place: directory,
    remedy: `read ${join(directory, "redis.log")}; a damaged append-only file is repaired with redis-check-aof --fix`,
  });
}
