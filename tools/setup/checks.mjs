/**
 * The checks of `lapidary doctor`: does everything that the set-up provides exist, and does it work? A check changes nothing.
 */
import { accessSync, constants } from "node:fs";
import * as build from "./build.mjs";
import { compilerRemedy, findCompiler } from "./compiler.mjs";
import * as libtensorflow from "./libtensorflow.mjs";
import { isInstalled } from "./installation.mjs";
import { freeBytes, megabytes, nearestExisting, setupNeeds_bytes } from "./disk-space.mjs";
import { isSupportedNode, nodeRemedy, supportedNode } from "./node-version.mjs";
import { firstOutOfStep } from "./packages.mjs";
import { describeFinding, findRedisServer } from "./redis.mjs";
import { redactSecrets } from "./redact.mjs";
import { oldestRedisName } from "./redis-version.mjs";
import { Report } from "./report.mjs";
import { cacheDirectory, projectRoot, Session } from "./session.mjs";
import { findPython, pythonRemedy } from "./python.mjs";

/** @typedef {import("./checks.mjs").Check} Check */

/**
 * All checks, in the order in which their subjects build on each other.
 * @param {{ root?: string, env?: NodeJS.ProcessEnv }} [where]
 * @returns {Promise<Check[]>}
 */
export async function checks({ root = projectRoot, env = process.env } = {}) {
  const session = new Session({ root, env, report: new Report({ quiet: true }) });
  const found = [
    checkNode(),
    ...(await Promise.all([checkPython(session), checkCompiler(session)])),
    checkPackages(root),
    await checkLibtensorflow(session),
    checkRedis(session),
    checkBuild(root),
    checkDisk(session),
    checkCache(session.cache),
  ];
  return found.map((check) => ({ ...check, detail: redactSecrets(check.detail), remedy: redactSecrets(check.remedy) }));
}

/**
 * The server that `lapidary up` starts if REDIS_URL is not set, and the servers that it skips.
 * @param {{ env?: NodeJS.ProcessEnv }} [where]
 * @returns {import("./checks.mjs").RedisServerFinding}
 */
export function redisServer({ env = process.env } = {}) {
  const finding = findRedisServer({ env, cache: cacheDirectory(env) });
  return { path: finding.server?.path, detail: describeFinding(finding) };
}

/**
 * The server binary that `lapidary up` starts if REDIS_URL is not set; undefined if none is found.
 * @param {{ env?: NodeJS.ProcessEnv }} [where]
 */
export function redisServerPath(where = {}) {
  return redisServer(where).path;
}

/**
 * The backend that the workers will use. Does not load it.
 * @param {{ root?: string, env?: NodeJS.ProcessEnv }} [where]
 */
export function libtensorflowStatus({ root = projectRoot, env = process.env } = {}) {
  return libtensorflow.libtensorflowStatus({ root, env });
}

/** @returns {Check} */
function checkNode() {
  return {
    name: "node",
    ok: isSupportedNode(),
    detail: `Node ${process.versions.node} at ${process.execPath}`,
    remedy: `${nodeRemedy}: Lapidary runs on ${supportedNode}`,
  };
}

/** @param {Session} session @returns {Promise<Check>} */
async function checkPython(session) {
  const found = await findPython(session);
  return {
    name: "python",
    ok: !("problem" in found),
    detail: "problem" in found ? found.problem : `Python ${found.version} with pip ${found.pip}`,
    remedy: `${pythonRemedy}; the set-up fetches libtensorflow and Redis by pip`,
  };
}

/** @param {Session} session @returns {Promise<Check>} */
async function checkCompiler(session) {
  const found = await findCompiler(session);
  const ok = !("problem" in found);
  return { name: "compiler", ok, detail: ok ? found.version : found.problem, remedy: compilerRemedy };
}

/** @param {string} root @returns {Check} */
function checkPackages(root) {
  const odd = firstOutOfStep(root);
  return {
    name: "packages",
    ok: odd === undefined,
    detail: odd === undefined ? "node_modules is in step with package-lock.json" : `not installed as locked: ${odd}`,
    remedy: "run `lapidary setup`",
  };
}

/** @param {Session} session @returns {Promise<Check>} */
async function checkLibtensorflow(session) {
  const { backend, detail, remedy } = libtensorflow.libtensorflowStatus(session);
  if (backend !== "native") return { name: "libtensorflow", ok: false, detail, remedy };
  const problem = await libtensorflow.loadProblem(session);
  return {
    name: "libtensorflow",
    ok: problem === undefined,
    detail: problem === undefined ? `${detail}, loads` : `does not load: ${problem}`,
    remedy: "run `lapidary setup libtensorflow`",
  };
}

/** @param {Session} session @returns {Check} */
function checkRedis(session) {
  const url = session.env.REDIS_URL;
  // `lapidary doctor` connects to the server; this file does not load a Redis client.
  if (url)
    return {
      name: "redis",
      ok: URL.canParse(url),
      detail: `REDIS_URL ${url}`,
      remedy: "REDIS_URL looks like redis://HOST:PORT",
    };
  const finding = findRedisServer(session);
  return {
    name: "redis",
    ok: finding.server !== undefined,
    detail: describeFinding(finding),
    remedy: `run \`lapidary setup redis\`, install Redis ${oldestRedisName} or later, or give the address of a running one in REDIS_URL`,
  };
}

/** @param {string} root @returns {Check} */
function checkBuild(root) {
  if (isInstalled(root)) return { name: "build", ok: true, detail: "compiled when it was packed", remedy: "" };
  const ok = build.isReady({ root });
  return {
    name: "build",
    ok,
    detail: ok ? "compiled from the present sources" : "sources have changed since the set-up last compiled them",
    remedy: "run `lapidary setup`",
  };
}

/** @param {Session} session @returns {Check} */
function checkDisk({ root, cache }) {
  const free = [root, nearestExisting(cache)].map((path) => ({ path, bytes: freeBytes(path) }));
  const least = free.reduce((a, b) => (b.bytes < a.bytes ? b : a));
  return {
    name: "disk",
    ok: least.bytes >= setupNeeds_bytes,
    detail: `${megabytes(least.bytes)} free at ${least.path}`,
    remedy: `free ${megabytes(setupNeeds_bytes)}, or point LAPIDARY_CACHE to a directory on a larger disk`,
  };
}

/** @param {string} cache @returns {Check} */
function checkCache(cache) {
  const place = nearestExisting(cache);
  try {
    accessSync(place, constants.W_OK);
    return { name: "cache", ok: true, detail: `${cache} can be written`, remedy: "" };
  } catch {
    return { name: "cache", ok: false, detail: `${place} cannot be written`, remedy: "point LAPIDARY_CACHE to a directory of yours" };
  }
}
