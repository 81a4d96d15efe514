/**
 * One run of the set-up: its child processes and its unfinished files, which it ends and removes after an interruption.
 * Every child leads a separate process group, so that the children of a child end with it.
 *
 *     SIGINT ─► children's groups: TERM, after 2 s KILL ─► unfinished files removed ─► exit 130
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Report } from "./report.mjs";

/** The project's root, relative to this file. */
export const projectRoot = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

const signals = /** @type {const} */ ({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 });
const grace_ms = 2000;
const tailLines = 25;

/** A step of the set-up failed. The error has the failure, the output of the tool and a remedy. */
export class SetupError extends Error {
  /** @param {{ code: string, message: string, remedy: string, output?: string }} fields */
  constructor({ code, message, remedy, output = "" }) {
    super(message);
    this.name = "SetupError";
    this.code = code;
    this.remedy = remedy;
    this.output = output;
  }
}

/**
 * The directory of downloads and builds that all clones of a user share.
 * @param {NodeJS.ProcessEnv} env
 */
export function cacheDirectory(env) {
  if (env.LAPIDARY_CACHE) return resolve(env.LAPIDARY_CACHE);
  // The specification of XDG_CACHE_HOME ignores relative paths.
  if (env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME)) return join(env.XDG_CACHE_HOME, "lapidary");
  const home = homeOf(env);
  if (home === undefined) return join(projectRoot, ".lapidary/setup-cache");
  return process.platform === "darwin" ? join(home, "Library/Caches/lapidary") : join(home, ".cache/lapidary");
}

/**
 * The user's home directory. In a container, HOME may be unset and the system may not have an entry for the user.
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined}
 */
function homeOf(env) {
  if (env.HOME && isAbsolute(env.HOME)) return env.HOME;
  try {
    const { homedir } = userInfo();
    return isAbsolute(homedir) ? homedir : undefined;
  } catch {
    // No entry for this user: the cache is kept in the project.
    return undefined;
  }
}

export class Session {
  /** @param {{ root?: string, env?: NodeJS.ProcessEnv, report?: Report }} [options] */
  constructor({ root = projectRoot, env = process.env, report = new Report() } = {}) {
    this.root = root;
    this.env = env;
    this.cache = cacheDirectory(env);
    this.report = report;
    this.interrupted = false;
    /** @type {Set<import("node:child_process").ChildProcess>} */
    this.children = new Set();
    /** @type {Set<string>} */
    this.unfinished = new Set();
    /** @type {Map<NodeJS.Signals, () => void>} */
    this.handlers = new Map();
  }

  /** From now on, a signal ends this process and its children, and removes its unfinished files. */
  catchSignals() {
    for (const [signal, code] of Object.entries(signals)) {
      const handler = () => void this.interrupt(code);
      const name = /** @type {NodeJS.Signals} */ (signal);
      this.handlers.set(name, handler);
      process.on(name, handler);
    }
  }

  /** Restores the default signal handling for the code that runs next in this process. */
  releaseSignals() {
    for (const [signal, handler] of this.handlers) process.off(signal, handler);
    this.handlers.clear();
  }

  /** @param {number} code */
  async interrupt(code) {
    if (this.interrupted) return;
    this.interrupted = true;
    this.report.stop();
    if (this.children.size > 0) this.report.say("interrupted: stopping what runs");
    await this.endChildren();
    this.removeUnfinished();
    this.report.say("interrupted: nothing is left half done; the same command goes on from here");
    process.exit(code);
  }

  async endChildren() {
    const ended = [...this.children].map((child) => new Promise((done) => child.once("close", done)));
    for (const child of this.children) killGroup(child, "SIGTERM");
    const force = setTimeout(() => {
      for (const child of this.children) killGroup(child, "SIGKILL");
    }, grace_ms);
    await Promise.all(ended);
    clearTimeout(force);
  }

  removeUnfinished() {
    for (const path of this.unfinished) rmSync(path, { recursive: true, force: true });
    this.unfinished.clear();
  }

  /**
   * Runs a program to its end in a separate process group. Passes its output to `onLine` and returns the output.
   * @param {string} command
   * @param {readonly string[]} args
   * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, onLine?: (line: string) => void, timeout_ms?: number, endLeftovers_ms?: number }} [options]
   *   `endLeftovers_ms`: ends processes of the group that still run so long after the program has exited, and names them in the result
   * @returns {Promise<{ code: number, stdout: string, tail: string, leftovers: readonly string[] }>} `code` 127: no such program
   */
  run(command, args, { cwd = this.root, env = this.env, onLine, timeout_ms, endLeftovers_ms } = {}) {
    return new Promise((done) => {
      // An interrupted session does not start any more programs; its process is about to exit.
      if (this.interrupted) return;
      const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
      this.children.add(child);
      let stdout = "";
      let all = "";
      let rest = "";
      let late = "";
      /** @type {readonly string[]} */
      let leftovers = [];
      const timer =
        timeout_ms === undefined
          ? undefined
          : setTimeout(() => {
              late = `\n(ended: it took more than ${timeout_ms / 1000} s)`;
              killGroup(child, "SIGKILL");
            }, timeout_ms);
      /** @param {string} text */
      const take = (text) => {
        all = (all + text).slice(-20_000);
        const lines = (rest + text).split(/[\r\n]+/);
        rest = lines.pop() ?? "";
        for (const line of lines) if (line.trim() !== "") onLine?.(line);
      };
      child.stdout.setEncoding("utf8").on("data", (/** @type {string} */ text) => {
        stdout += text;
        take(text);
      });
      child.stderr.setEncoding("utf8").on("data", take);
      child.on("error", (error) => {
        clearTimeout(timer);
        this.children.delete(child);
        if (this.interrupted) return;
        done({ code: 127, stdout, tail: String(error), leftovers });
      });
      child.on("exit", () => {
        clearTimeout(timer);
        // Remaining processes may keep the pipes open, and then "close" would never come.
        if (endLeftovers_ms !== undefined && child.pid !== undefined) {
          void survivors(child.pid, endLeftovers_ms).then((alive) => {
            leftovers = alive;
            if (alive.length > 0) killGroup(child, "SIGKILL");
          });
        }
      });
      child.on("close", async (code, signal) => {
        if (endLeftovers_ms !== undefined && child.pid !== undefined)
          leftovers = leftovers.length > 0 ? leftovers : await survivors(child.pid, endLeftovers_ms);
        this.children.delete(child);
        // The promise never settles, because the process is about to exit.
        if (this.interrupted) return;
        const tail = all.trimEnd().split("\n").slice(-tailLines).join("\n");
        const end = signal === null ? "" : `\n(ended by ${signal})`;
        done({ code: code ?? 1, stdout, tail: `${tail}${late || end}`, leftovers });
      });
    });
  }
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
function killGroup(child, signal) {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // The group may have ended between the check and the kill.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ESRCH") throw error;
  }
}

/**
 * The command lines of the processes of a group that still run some time after the leader has exited (Linux only).
 * @param {number} group
 * @param {number} settle_ms
 * @returns {Promise<readonly string[]>}
 */
async function survivors(group, settle_ms) {
  const deadline_ms = Date.now() + settle_ms;
  for (;;) {
    const alive = groupMembers(group);
    if (alive.length === 0 || Date.now() > deadline_ms) return alive;
    await delay(50);
  }
}

/** @param {number} group */
function groupMembers(group) {
  if (!existsSync("/proc/self/stat")) return [];
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      // pid (name) state parent group …; the name may contain blanks and brackets.
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      if (Number(fields[2]) !== group || fields[0] === "Z") return [];
      return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()}`];
    } catch {
      // The process ended in the meantime.
      return [];
    }
  });
}
