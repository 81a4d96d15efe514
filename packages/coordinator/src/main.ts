import { resolve, join } from "node:path";
import { parseArgs } from "node:util";
import { ExitCode, isSystemError, LapidaryError, failpointsOf, makeDirectories, redactSecrets, systemError } from "@lapidary/std";
import { pino } from "pino";
import { Coordinator } from "./coordinator.js";
import { defaultWorkers } from "@lapidary/cluster";
import type { Log } from "./log.js";
import { LogFile } from "./log-file.js";
import { readAllowedHosts } from "@lapidary/api/allowed-hosts";
import { openHome, privateUmask } from "@lapidary/api/home-directory";
import { chooseRedis } from "@lapidary/control";

/**
 * The coordinator's process:
 *
 *     node main.js --home DIR --root DIR [--port N] [--redis URL|auto] [--workers N] [--allow-host NAME]… [--version-name V]
 *
 * LAPIDARY_ALLOW_HOST: host names, separated by commas, that the HTTP server answers for in addition to loopback names and those of --allow-host.
 * LAPIDARY_WORKER_LEASE: seconds for which workers wait for another coordinator when this one is killed (default 60; 0: they end with it).
 *
 * The coordinator is ready when `coordinator.json` is in the home directory. SIGTERM and SIGINT end it and everything it started. An error at the
 * start is written to stderr as JSON in the last line, with its exit code.
 */
const { values: flags } = parseArgs({
  options: {
    home: { type: "string" },
    root: { type: "string" },
    port: { type: "string", default: "0" },
    redis: { type: "string", default: "auto" },
    workers: { type: "string" },
    "allow-host": { type: "string", multiple: true, default: [] },
    "version-name": { type: "string", default: "0.0.0" },
  },
});

/** Long enough for a user to notice that a coordinator has ended, and to start another. */
const defaultLease_s = "60";

/** Longer than the shutdown of any part takes. */
const stopTimeout_ms = 20_000;

async function main(): Promise<ExitCode> {
  const root = resolve(flags.root ?? usage("--root"));
  const home = resolve(flags.home ?? usage("--home"));
  const allowedHosts = [
    ...readAllowedHosts(flags["allow-host"], "--allow-host"),
    ...readAllowedHosts(listed(process.env.LAPIDARY_ALLOW_HOST), "LAPIDARY_ALLOW_HOST"),
  ];
  process.umask(privateUmask);
  const warnings = openHome(home);
  const log = openLog(home);
  for (const { message, code, place } of warnings) log.warn(message, { code, place });
  process.title = "lapidary coordinator";
  const requested = new Promise<"requested">((resolveRequested) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
      process.on(signal, () => {
        log.info("shutdown requested", { signal });
        resolveRequested("requested");
      });
  });
  const broken = new Promise<LapidaryError>((resolveBroken) => {
    // An internal error that no code caught: shut down cleanly, so that no process remains.
    process.on("uncaughtException", (error) => {
      log.error("internal error", { error: error.stack ?? String(error) });
      resolveBroken(unforeseen(error));
    });
  });
  const starting = Coordinator.start({
    home,
    root,
    port: wholeNumber("--port", flags.port, 0, 65_535),
    allowedHosts,
    workers: flags.workers === undefined ? defaultWorkers() : wholeNumber("--workers", flags.workers, 1, 256),
    redis: await chooseRedis(flags.redis, root, process.env),
    environment: process.env,
    workerLease_s: wholeNumber("LAPIDARY_WORKER_LEASE", process.env.LAPIDARY_WORKER_LEASE ?? defaultLease_s, 0, 86_400),
    failpoints: failpointsOf(process.env),
    version: flags["version-name"],
    log,
  });
  try {
    const coordinator = await starting;
    const reason = await Promise.race([requested, broken, coordinator.stopRequested]);
    setTimeout(() => process.exit(ExitCode.other), stopTimeout_ms).unref();
    await coordinator.stop();
    if (reason === "requested") return ExitCode.done;
    throw reason;
  } catch (error) {
    log.error("ended by an error", { error: error instanceof LapidaryError ? error.toJSON() : String(error) });
    throw error;
  }
}

function openLog(home: string): Log {
  makeDirectories(join(home, "logs"), 0o700);
  const logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, new LogFile(join(home, "logs", "coordinator.log")));
  const write =
    (level: "info" | "warn" | "error") =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      logger[level](fields, message);
  return { info: write("info"), warn: write("warn"), error: write("error") };
}

/** The items of a variable, which are separated by commas. */
const listed = (text = ""): readonly string[] =>
  text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");

function usage(flag: string): never {
  throw new LapidaryError({
    code: "LAP_COORDINATOR_FLAG",
    message: `${flag} is missing or invalid`,
    location: flag,
  });
}

function wholeNumber(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  return text !== "" && Number.isInteger(value) && value >= least && value <= most ? value : usage(flag);
}

/** An error without a code: an error of the system, or an internal error. */
function unforeseen(error: unknown): LapidaryError {
  if (isSystemError(error)) return systemError(error, { doing: `start or run the coordinator (${error.syscall ?? error.code})` });
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new LapidaryError({
    code: "LAP_INTERNAL",
    message,
    cause: error,
  });
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const reported = error instanceof LapidaryError ? error : unforeseen(error);
    process.stderr.write(`${redactSecrets(JSON.stringify(reported))}\n`);
    process.exit(reported.exit);
  },
);
