import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Connection } from "@lapidary/api";
import { openHome } from "@lapidary/api/home-directory";
import { isProcessAlive, signalProcess } from "@lapidary/std/process-id";
import { errorFromJSON, isErrorJSON, LapidaryError, makeDirectories, typedSystemError, type Warning } from "@lapidary/std";
import type { Context } from "../context.js";
import { readVersion } from "./version.js";

export interface UpOptions {
  readonly port: number | undefined;
  readonly workers: number | undefined;
  /** Host names that the coordinator answers for besides loopback names. */
  readonly allowHosts: readonly string[];
}

/** A coordinator that can be reached. */
export interface Started {
  readonly connection: Connection;
  /** What was found on the way; it was shown. */
  readonly warnings: readonly Warning[];
}

/** Redis may have much to load. */
const startWithinMs = 60_000;
/** The coordinator gives up on what does not end after 20 s, and ends itself. */
const stopWithinMs = 30_000;
const pollMs = 20;
/** What a start writes, at least. */
const probeBytes = 1 << 16;

/**
 * Starts the coordinator of this home as a process of its own that outlives this one, and waits until it can be reached.
 *
 * @throws LAP_HOME_… and LAP_FILE_… when the home directory cannot be used; LAP_ALREADY_UP, LAP_PORT_TAKEN, LAP_REDIS_… as the coordinator says; LAP_UP_TIMEOUT (exit 5)
 */
export async function startCoordinator(context: Context, { port, workers, allowHosts }: UpOptions): Promise<Started> {
  const { console, home, root, env, clock, interrupts } = context;
  const { findConnection } = await import("@lapidary/api/client");
  interrupts.signal.throwIfAborted();
  const warnings = openHome(home);
  for (const warning of warnings) console.warn(warning);
  checkHome(home);
  // A file and no pipe: the process goes on writing when nobody reads any more.
  const errors = join(home, "logs", "coordinator.stderr");
  const output = openSync(errors, "w", 0o600);
  const main = fileURLToPath(import.meta.resolve("@lapidary/coordinator/main"));
  const flags = [
    "--home",
    home,
    "--root",
    root,
    "--version-name",
    readVersion(root),
    ...flag("--port", port),
    ...flag("--workers", workers),
    ...allowHosts.flatMap((name) => ["--allow-host", name]),
  ];
  const child = spawn(process.execPath, ["--max-semi-space-size=2", main, ...flags], {
    cwd: root,
    env,
    detached: true,
    stdio: ["ignore", "ignore", output],
  });
  closeSync(output);
  const deadline = clock.monotonic() + startWithinMs;
  try {
    for (;;) {
      interrupts.signal.throwIfAborted();
      if (child.exitCode !== null || child.signalCode !== null) throw startError(errors, child);
      const connection = findConnection(home);
      if (connection?.pid === child.pid && connection !== undefined) {
        child.unref();
        return { connection, warnings };
      }
      if (clock.monotonic() > deadline) throw lateError(errors);
      await delay(pollMs);
    }
  } catch (error) {
    await endChild(child, clock.monotonic.bind(clock));
    throw error;
  }
}

/** Whatever the coordinator says goes into files of the home directory: a directory that takes none is an error before it starts. */
function checkHome(home: string): void {
  const logs = join(home, "logs");
  const probe = join(logs, `.probe.${process.pid}`);
  try {
    makeDirectories(logs, 0o700);
    try {
      writeFileSync(probe, Buffer.alloc(probeBytes));
    } finally {
      rmSync(probe, { force: true });
    }
  } catch (error) {
    throw typedSystemError(error, { doing: "write to the home directory", place: home });
  }
}

const flag = (name: string, value: number | undefined): string[] => (value === undefined ? [] : [name, String(value)]);

/** What the process said last, as the error it was there. */
function startError(file: string, child: ChildProcess): LapidaryError {
  const said = readFileSync(file, "utf8").trim().split("\n");
  const failed = (cause?: unknown): LapidaryError =>
    new LapidaryError({
      code: "LAP_UP_FAILED",
      message: `the coordinator ended at once (${child.signalCode ?? `exit code ${child.exitCode}`}): ${said.slice(-3).join(" | ")}`,
      place: file,
      cause,
    });
  try {
    const json: unknown = JSON.parse(said.at(-1) ?? "");
    return isErrorJSON(json) ? errorFromJSON(json) : failed();
  } catch (cause) {
    return failed(cause);
  }
}

const lateError = (file: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_UP_TIMEOUT",
    message: `the coordinator is not ready after ${startWithinMs / 1000} s`,
    place: file,
  });

async function endChild(child: ChildProcess, now: () => number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const deadline = now() + stopWithinMs;
  while (child.exitCode === null && child.signalCode === null && now() < deadline) await Promise.race([ended, delay(100)]);
  child.kill("SIGKILL");
  await ended;
}

/** What ended when everything was stopped. */
export interface Stopped {
  /** Whether a coordinator was up. */
  readonly stopped: boolean;
  /** Processes that ended: coordinator, workers, Redis. */
  readonly processes: readonly number[];
}

/**
 * Stops the coordinator of this home and all that it started, whatever state they are in, and makes sure that none is left. Nothing to
 * stop is no error.
 *
 * @throws LAP_ALREADY_UP when a process of another machine or container serves this home
 */
export async function stopCoordinator(context: Context): Promise<Stopped> {
  const { home, clock } = context;
  const { homeOwner, refuseForeignOwner } = await import("@lapidary/api/home-lock");
  const { leftWorkers, registerPath } = await import("@lapidary/api/worker-register");
  const { redisProcess, stopLeftRedis } = await import("@lapidary/control");
  const { CoordinatorClient, findConnection } = await import("@lapidary/api/client");
  const owner = homeOwner(home);
  if (owner === undefined) await refuseForeignOwner(home);
  const connection = findConnection(home);
  const client = owner !== undefined && connection?.pid === owner ? new CoordinatorClient(connection) : undefined;
  const status = await client?.status().catch(unreachableIsNone);
  // Of a coordinator that was killed they wait for another.
  const left = leftWorkers(registerPath(home));
  const workers = [...left.workers, ...left.strangers];
  const pids = workers.map(({ pid }) => pid);
  const redis = redisProcess(home);
  const processes = [...(owner === undefined ? [] : [owner]), ...pids, ...(redis === undefined ? [] : [redis])].filter(isProcessAlive);
  if (owner !== undefined) {
    const asked = status === undefined ? undefined : await client?.shutdown().then(() => true, unreachableIsNone);
    if (asked === undefined) signal(owner, "SIGTERM");
    if (!(await gone([owner], clock.monotonic() + stopWithinMs, () => clock.monotonic()))) signal(owner, "SIGKILL");
  }
  for (const worker of workers) signalProcess(worker, "SIGTERM");
  await stopLeftRedis(home);
  // Workers end with the coordinator; the last of them a moment after it.
  if (!(await gone(processes, clock.monotonic() + stopWithinMs, () => clock.monotonic())))
    for (const pid of processes) signal(pid, "SIGKILL");
  return { stopped: owner !== undefined, processes };
}

function unreachableIsNone(error: unknown): undefined {
  if (error instanceof LapidaryError) return undefined;
  throw error;
}

async function gone(pids: readonly number[], deadline: number, now: () => number): Promise<boolean> {
  while (pids.some(isProcessAlive)) {
    if (now() > deadline) return false;
    await delay(pollMs);
  }
  return true;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
