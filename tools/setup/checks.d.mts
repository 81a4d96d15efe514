/** Types of the checks of `lapidary doctor`; `checks.mjs` is the code. */

export interface Check {
  /** node, python, compiler, packages, libtensorflow, redis, build, disk, cache */
  readonly name: string;
  readonly ok: boolean;
  /** What was found. */
  readonly detail: string;
  /** What to do if it is not ok. */
  readonly remedy: string;
}

export interface LibtensorflowStatus {
  /** `native`: libtensorflow; `wasm`: the set-up fell back to WebAssembly; `absent`: not set up. */
  readonly backend: "native" | "wasm" | "absent";
  readonly detail: string;
  readonly remedy: string;
}

interface Where {
  /** The project's root; by default the project that contains this file. */
  readonly root?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** All checks in the order in which their subjects build on each other. Takes about a second: it loads the binding. */
export function checks(where?: Where): Promise<Check[]>;

export interface RedisServerFinding {
  /** The server to start; undefined if none can be used. */
  readonly path: string | undefined;
  /** What was found, and the skipped servers with their reasons. */
  readonly detail: string;
}

/** The server to start if REDIS_URL is not set. Runs each server that it finds with `--version`, until one can be used. */
export function redisServer(where?: Pick<Where, "env">): RedisServerFinding;

/** The path of `redisServer`. */
export function redisServerPath(where?: Pick<Where, "env">): string | undefined;

/** The backend that the workers will use, judged from files alone. */
export function libtensorflowStatus(where?: Where): LibtensorflowStatus;
