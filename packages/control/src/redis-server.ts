import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { directoryStamp, LapidaryError, socketPathFor } from "@lapidary/std";
import { StartLock } from "./start-lock.js";
import { openStore, type RedisAddress, type Store } from "./store.js";

export interface RedisServerOptions {
  /** Path of redis-server or valkey-server. */
  readonly binary: string;
  /** Directory of its data, log, pid file and (unless the path is too long) socket. */
  readonly directory: string;
  /** Time limit of a start, loading the data included. Default 20000. */
  readonly timeoutMs?: number;
}

/** Interval between two checks of a condition. */
const pollMs = 15;

/**
 * A private Redis server. Only this user can connect, over a unix socket. An append-only file makes writes durable within a
 * second, and the server never evicts keys. It runs in its own session, so it outlives the process that started it until `stop`.
 *
 *   directory/
 *     redis.sock       its socket (`socketPathFor` chooses another place if the path is too long)
 *     redis.pid        written by the server
 *     redis.socket     the path of the socket, and the stamp of this directory
 *     redis.log        its output
 *     starting.lock    the process that is starting it (`StartLock`)
 *     appendonlydir/   the data
 */
export class RedisServer {
  readonly address: RedisAddress;
  readonly socket: string;
  readonly pid: number;
  /** Whether the server was already running. */
  readonly adopted: boolean;

  /** Use `startRedisServer`. */
  constructor(socket: string, pid: number, adopted: boolean) {
    this.address = { socket };
    this.socket = socket;
    this.pid = pid;
    this.adopted = adopted;
  }

  /** Stops the server after it wrote its data; resolves once the process has ended. Kills a server that hangs. */
  async stop(timeoutMs = 10_000): Promise<void> {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      if (!isServing(this.pid, this.socket)) return;
      process.kill(this.pid, signal);
      await waitUntil(() => !isServing(this.pid, this.socket), timeoutMs);
    }
  }
}

/**
 * Starts the server of `directory`, or adopts the one that already runs there. If two processes call this concurrently, one
 * starts the server and the other adopts it.
 *
 * @throws LAP_REDIS_BINARY, LAP_REDIS_START with the end of the server's log, LAP_REDIS_EVICTS if the adopted server was reconfigured
 */
export async function startRedisServer(options: RedisServerOptions): Promise<RedisServer> {
  const { directory } = options;
  const timeoutMs = options.timeoutMs ?? 20_000;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const socket = await socketOf(directory);
  const lock = new StartLock(join(directory, "starting.lock"));
  const deadline = performance.now() + timeoutMs;
  const remainingMs = (): number => Math.max(1, deadline - performance.now());
  while (!lock.acquire()) {
    if (performance.now() > deadline) throw startError(directory, `${lock.owner()} has been starting it for ${timeoutMs} ms`);
    await pause(pollMs);
  }
  try {
    const adopted = (await isListening(socket)) ? await adoptUnlessExiting(socket, remainingMs()) : undefined;
    if (adopted !== undefined) return adopted;
    rmSync(socket, { force: true });
    return await start(options, socket, remainingMs());
  } finally {
    lock.release();
  }
}

/**
 * The socket of the server of a directory. For a long path it is in the temporary directory, which may differ between two commands.
 * The recorded path therefore finds a running server.
 */
async function socketOf(directory: string): Promise<string> {
  const recorded = recordedSocket(directory);
  if (recorded !== undefined && (await isListening(recorded))) return recorded;
  const socket = socketPathFor(join(directory, "redis.sock"));
  if (socket !== recorded) writeFileSync(socketRecord(directory), `${socket}\n${directoryStamp(directory)}\n`, { mode: 0o600 });
  return socket;
}

const socketRecord = (directory: string): string => join(directory, "redis.socket");

/** The recorded socket of the server of a directory. Undefined in a copy of the directory, because the server belongs to the original. */
function recordedSocket(directory: string): string | undefined {
  const path = socketRecord(directory);
  const [socket = "", stamp] = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  return socket !== "" && stamp === directoryStamp(directory) ? socket : undefined;
}

/** The pid of the running server of a directory. Undefined if the pid was reused by another process. */
export function redisServerProcess(directory: string): number | undefined {
  const path = join(directory, "redis.pid");
  const socket = recordedSocket(directory);
  if (socket === undefined || !existsSync(path)) return undefined;
  const pid = Number(readFileSync(path, "utf8"));
  return Number.isInteger(pid) && pid > 0 && isServing(pid, socket) ? pid : undefined;
}

/** The server at the socket, or undefined if it exits meanwhile: a killed process may accept connections until all its threads have ended. */
async function adoptUnlessExiting(socket: string, timeoutMs: number): Promise<RedisServer | undefined> {
  try {
    return await adopt(socket, timeoutMs);
  } catch (error) {
    if (await isListening(socket)) throw error;
    return undefined;
  }
}

async function adopt(socket: string, timeoutMs: number): Promise<RedisServer> {
  return new RedisServer(socket, await readServerPid(socket, timeoutMs), true);
}

async function start(options: RedisServerOptions, socket: string, timeoutMs: number): Promise<RedisServer> {
  const { binary, directory } = options;
  const log = join(directory, "redis.log");
  const logStart = existsSync(log) ? statSync(log).size : 0;
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
      failure ??= `it exited immediately (${signal ?? `exit code ${code}`})`;
      resolve();
    });
  });
  child.unref();
  const { pid } = child;
  if (pid === undefined) {
    await exited;
    throw binaryError(binary, failure ?? "not executable");
  }
  try {
    const listening = await waitUntil(async () => failure !== undefined || (await isListening(socket)), timeoutMs);
    if (failure !== undefined || !listening)
      throw startError(directory, failure ?? `it does not listen after ${timeoutMs} ms`, logTail(log, logStart));
    return new RedisServer(socket, await readServerPid(socket, timeoutMs), false);
  } catch (error) {
    if (isAlive(pid)) process.kill(pid, "SIGKILL");
    await exited;
    throw error;
  }
}

/** Waits until the server at the socket has loaded its data, checks its settings, and returns its pid. */
async function readServerPid(socket: string, timeoutMs: number): Promise<number> {
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

/** Whether `pid` is the server at the socket and not a process that reused the pid: Redis writes its socket in its process title. */
function isServing(pid: number, socket: string): boolean {
  if (!isAlive(pid)) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(socket);
  } catch {
    // The process has just ended, or this system has no /proc and the pid must suffice.
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

/** Whether a process runs. A process that ended and was not yet reaped does not count. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
  try {
    return !/^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // This system has no /proc (macOS), or the process ended between the two checks.
    return !existsSync("/proc/self/stat");
  }
}

async function waitUntil(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
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
function logTail(log: string, from: number): string {
  return readFileSync(log).subarray(from).toString("utf8").trim().split("\n").slice(-3).join(" | ");
}

function binaryError(binary: string, why: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_BINARY",
    message: `cannot execute the Redis server: ${why}`,
    location: binary,
  });
}

function startError(directory: string, why: string, log = ""): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_START",
    message: `the private Redis server did not start: ${why}${log === "" ? "" : ` | ${log}`}`,
    location: directory,
    remedy: `read ${join(directory, "redis.log")}; repair a damaged append-only file with redis-check-aof --fix`,
  });
}
