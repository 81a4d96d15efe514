import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Connection } from "@lapidary/api";
import { openHome } from "@lapidary/api/home-directory";
import { isProcessAlive, signalProcess } from "@lapidary/std/process-id";
import { type Clock, errorFromJSON, isErrorJSON, LapidaryError, makeDirectories, typedSystemError, type Warning } from "@lapidary/std";

/** Start and end of the coordinator as a process of its own: `@lapidary/coordinator/service-process`. */

export interface ServiceOptions {
  /** The state directory. */
  readonly home: string;
  /** The directory of configs, tools and packages. */
  readonly root: string;
  /** The version that the coordinator reports. */
  readonly version: string;
  readonly port: number | undefined;
  readonly workers: number | undefined;
  /** Host names that the coordinator answers for besides loopback names. */
  readonly allowHosts: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onWarning: (warning: Warning) => void;
}

/** A coordinator that can be reached. */
export interface Started {
  readonly connection: Connection;
  /** Warnings of the state directory; `onWarning` has received them. */
  readonly warnings: readonly Warning[];
}

/** Redis may have much data to load. */
const startWithinMs = 60_000;
/** The coordinator kills its processes after 20 s, and then exits. */
const stopWithinMs = 30_000;
const pollMs = 20;
/** A start writes at least this much. */
const probeBytes = 1 << 16;

/**
 * Starts the coordinator of a state directory as a detached process, and waits until it can be reached.
 *
 * @throws LAP_HOME_… and LAP_FILE_… if the state directory cannot be used; LAP_ALREADY_UP, LAP_PORT_TAKEN, LAP_REDIS_… as the coordinator reports; LAP_UP_TIMEOUT (exit 5)
 */
export async function startCoordinator(options: ServiceOptions): Promise<Started> {
  const { home, root, version, port, workers, allowHosts, env, clock, signal, onWarning } = options;
  const { findConnection } = await import("@lapidary/api/client");
  signal.throwIfAborted();
  const warnings = openHome(home);
  warnings.forEach(onWarning);
  checkHome(home);
  // A file and not a pipe, because the coordinator continues to write after this process has ended.
  const errors = join(home, "logs", "coordinator.stderr");
  const output = openSync(errors, "w", 0o600);
  const flags = [
    "--home",
    home,
    "--root",
    root,
    "--version-name",
    version,
    ...flag("--port", port),
    ...flag("--workers", workers),
    ...allowHosts.flatMap((name) => ["--allow-host", name]),
  ];
  const child = spawn(process.execPath, ["--max-semi-space-size=2", fileURLToPath(new URL("main.js", import.meta.url)), ...flags], {
    cwd: root,
    env,
    detached: true,
    stdio: ["ignore", "ignore", output],
  });
  closeSync(output);
  const deadline = clock.monotonic() + startWithinMs;
  try {
    for (;;) {
      signal.throwIfAborted();
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

/** Writes a file into the log directory. A state directory that cannot be written is an error before the coordinator starts. */
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
    throw typedSystemError(error, { doing: "write to the state directory", place: home });
  }
}

const flag = (name: string, value: number | undefined): string[] => (value === undefined ? [] : [name, String(value)]);

/** The error that the process printed last. */
function startError(file: string, child: ChildProcess): LapidaryError {
  const lines = readFileSync(file, "utf8").trim().split("\n");
  const failed = (cause?: unknown): LapidaryError =>
    new LapidaryError({
      code: "LAP_UP_FAILED",
      message: `the coordinator ended during its start (${child.signalCode ?? `exit code ${child.exitCode}`}): ${lines.slice(-3).join(" | ")}`,
      location: file,
      cause,
    });
  try {
    const json: unknown = JSON.parse(lines.at(-1) ?? "");
    return isErrorJSON(json) ? errorFromJSON(json) : failed();
  } catch (cause) {
    return failed(cause);
  }
}

const lateError = (file: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_UP_TIMEOUT",
    message: `the coordinator is not ready after ${startWithinMs / 1000} s`,
    location: file,
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

/** The processes that a stop has ended. */
export interface Stopped {
  /** Whether a coordinator was up. */
  readonly stopped: boolean;
  /** Processes that ended: coordinator, workers, Redis. */
  readonly processes: readonly number[];
}

/**
 * Stops the coordinator of a state directory and the processes that it started, in any state, and waits until all have ended. A missing coordinator is not
 * an error.
 *
 * @throws LAP_ALREADY_UP if a process of another machine or container serves this state directory
 */
export async function stopCoordinator({ home, clock }: Pick<ServiceOptions, "home" | "clock">): Promise<Stopped> {
  const { homeOwner, refuseForeignOwner } = await import("@lapidary/api/home-lock");
  const { orphanedWorkers, registryPath } = await import("@lapidary/api/worker-registry");
  const { redisProcess, stopLeftRedis } = await import("@lapidary/control");
  const { CoordinatorClient, findConnection } = await import("@lapidary/api/client");
  const owner = homeOwner(home);
  if (owner === undefined) await refuseForeignOwner(home);
  const connection = findConnection(home);
  const client = owner !== undefined && connection?.pid === owner ? new CoordinatorClient(connection) : undefined;
  const status = await client?.status().catch(unreachableIsNone);
  // Workers of a killed coordinator wait for the next coordinator.
  const left = orphanedWorkers(registryPath(home));
  const workers = [...left.workers, ...left.incompatible];
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
  // Workers end with the coordinator, some shortly after it.
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
