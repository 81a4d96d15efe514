#!/usr/bin/env node
/**
 * Sets the project up. Each step checks whether it is needed, reports its work, and leaves a complete result or nothing.
 * `npm run setup` (`node tools/setup/main.mjs [STEP…]`) runs it; `npm start` and `npm test` run it first.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as build from "./build.mjs";
import { isInstalled } from "./installation.mjs";
import * as kernels from "./kernels.mjs";
import * as libtensorflow from "./libtensorflow.mjs";
import { withLock } from "./lock.mjs";
import { isSupportedNode, nodeRemedy, supportedNode } from "./node-version.mjs";
import * as packages from "./packages.mjs";
import { makePrivate } from "./private-directory.mjs";
import { explainFileError } from "./file-errors.mjs";
import * as redis from "./redis.mjs";
import { runSteps } from "./schedule.mjs";
import { Session, SetupError } from "./session.mjs";

/** In the order in which they build on each other. @type {readonly import("./schedule.mjs").Step<Session>[]} */
const steps = [
  { name: "packages", needs: [], isReady: packages.isReady, run: packages.installPackages },
  {
    name: "libtensorflow",
    needs: ["packages"],
    isReady: libtensorflow.isReady,
    prepare: libtensorflow.fetchLibrary,
    run: libtensorflow.provideLibtensorflow,
  },
  { name: "redis", needs: ["packages"], isReady: redis.isReady, prepare: redis.fetchServer, run: redis.provideRedis },
  { name: "opcodes", needs: ["packages"], isReady: build.isReady, run: build.buildOpcodes },
  { name: "build", needs: ["opcodes"], isReady: build.isReady, run: build.buildPackages },
  { name: "kernels", needs: ["libtensorflow", "opcodes"], isReady: kernels.isReady, run: kernels.provideKernels },
];
/** An installed package is compiled already. */
const compiledSteps = ["opcodes", "build"];

/** The steps of a root. @param {string} root */
const stepsOf = (root) => steps.filter(({ name }) => !compiledSteps.includes(name) || !isInstalled(root));

/**
 * @param {Session} session
 * @param {{ only?: readonly string[] }} [options] `only`: run these steps, ready or not
 */
export async function setUp(session, { only = [] } = {}) {
  const available = stepsOf(session.root);
  const unknown = only.find((name) => !available.some((step) => step.name === name));
  if (unknown !== undefined) {
    throw new SetupError({
      code: "LAP_SETUP_STEP",
      message: `no set-up step is called ${unknown}`,
      remedy: `the steps are ${available.map((step) => step.name).join(", ")}`,
    });
  }
  checkNode();
  const chosen = available.filter((step) => only.length === 0 || only.includes(step.name));
  if (only.length === 0 && chosen.every((step) => step.isReady(session))) return remind(session);
  secureDirectories(session);
  await withLock(session, join(session.root, ".lapidary/setup.lock"), async () => {
    await runSteps(session, chosen, { always: only.length > 0 });
  });
}

const cacheEntries = /^(app|libtensorflow|tfjs-binding|kernels|valkey|jax)-/;

/**
 * Closes directories that other users could enter: the state directory in the project, which contains the lock, and the cache. Workers load
 * libraries from the cache, so another user who can write to it can run code in this account.
 * @param {Session} session
 */
function secureDirectories({ root, cache, report }) {
  const home = join(root, ".lapidary");
  if (makePrivate(home).state === "closed") report.say(`${home} was open to other users: closed (mode 700)`);
  if (!existsSync(cache)) return;
  const { state, mode, owner } = makePrivate(cache, { isOurs: (name) => cacheEntries.test(name), forbidden: 0o022 });
  const was = `mode ${(mode & 0o777).toString(8)}`;
  if (state === "closed")
    report.warn(`WARNING: other users could write to ${cache} (${was}): closed. If you do not trust them, remove it: it is filled again`);
  else if (state === "open" || state === "unclosable")
    report.warn(
      `WARNING: other users can write to ${cache} (${was}), and so change what runs here. Remedy: point LAPIDARY_CACHE to a directory of yours`,
    );
  else if (state === "foreign" && owner !== 0)
    report.warn(
      `WARNING: ${cache} belongs to user ${owner}, who can change what runs here. Remedy: point LAPIDARY_CACHE to a directory of yours`,
    );
}

/** Warns at every start that the workers use WebAssembly and are slow. @param {Session} session */
function remind(session) {
  const { backend, detail, remedy } = libtensorflow.libtensorflowStatus(session);
  if (backend === "wasm")
    session.report.warn(`WARNING: ${detail}: training is several times slower. Remedy: \`lapidary setup\` tries again; ${remedy}`);
}

function checkNode() {
  if (isSupportedNode()) return;
  throw new SetupError({
    code: "LAP_SETUP_NODE",
    message: `this is Node ${process.versions.node}; Lapidary runs on ${supportedNode}`,
    remedy: nodeRemedy,
  });
}

/**
 * Runs `work` under the signals of a session. Prints an error with its remedy.
 * @param {Session} session
 * @param {() => Promise<void>} work
 * @returns {Promise<boolean>} whether it went well
 */
export async function underSession(session, work) {
  session.catchSignals();
  try {
    await work();
    return true;
  } catch (error) {
    // The handler of the signal reports the interruption. Errors that it causes are not reported.
    if (session.interrupted) return await never();
    await session.endChildren();
    session.removeUnfinished();
    printError(session, error);
    return false;
  } finally {
    session.releaseSignals();
  }
}

/** The process is about to exit. @returns {Promise<never>} */
function never() {
  return new Promise(() => undefined);
}

/**
 * @param {Session} session
 * @param {unknown} error
 */
export function printError(session, error) {
  const known = explainFileError(session, error);
  if (known !== error) return printError(session, known);
  if (!(error instanceof SetupError)) {
    session.report.warn(`the set-up broke: ${error instanceof Error ? error.stack : String(error)}`);
    return;
  }
  session.report.warn(`error ${error.code}: ${error.message}`);
  if (error.output !== "") session.report.warn(error.output.replace(/^/gm, "    | "));
  session.report.warn(`    remedy: ${error.remedy}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const session = new Session();
  const only = process.argv.slice(2);
  libtensorflow.forgetFallback(session);
  const ok = await underSession(session, () => setUp(session, { only }));
  if (ok) session.report.say("set up");
  process.exitCode = ok ? 0 : 1;
}
