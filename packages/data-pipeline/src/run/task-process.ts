import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { errorFromJSON } from "@lapidary/std";
import type { ChildReply, ChildRequest, OpenRequest } from "./child-protocol.js";

/** What a process of a stage did: it answered, or it ended. */
export type Outcome = Extract<ChildReply, { readonly kind: "stored" | "probed" }> | { readonly kind: "died"; readonly why: string };

/** Computes tasks, one at a time. */
export interface TaskRunner {
  /** @throws LapidaryError of the task */
  request(request: ChildRequest): Promise<Outcome>;
  kill(): void;
}

/**
 * Without this option, V8 lets a heap grow to a multiple of what is live before it collects, so that the peak of a process rises with the number of tasks
 * that it has computed. With it, a collection starts when the heap is half as large again as what is live.
 */
const heapOptions = ["--heap-growing-percent=50"];

/**
 * Without these settings, glibc raises the size from which it returns buffers to the system, up to 32 MB, and has an arena for each thread. Freed buffers of sorts then
 * stay in the process. Other systems ignore the settings.
 */
const allocatorSettings = { MALLOC_MMAP_THRESHOLD_: "262144", MALLOC_ARENA_MAX: "2" };

/** Computes tasks in one child process at a time. A process that ended is replaced at the next request. */
export class TaskProcess implements TaskRunner {
  #child: ChildProcess | undefined;
  #stderr = "";
  readonly #main: URL;
  readonly #open: OpenRequest;

  /**
   * @param open the first message to each process. It has credentials, which other users could read in arguments
   * @param main the program of the process; it calls `serveTasks`
   */
  constructor(open: OpenRequest, main: URL) {
    [this.#open, this.#main] = [open, main];
  }

  /** @throws LapidaryError of the task */
  async request(request: ChildRequest): Promise<Outcome> {
    const child = (this.#child ??= this.#start());
    const replied = new AbortController();
    const reply = once(child, "message", { signal: replied.signal }).then(([message]): ChildReply => message as ChildReply);
    const ended = once(child, "exit", { signal: replied.signal }).then(([code, signal]): Outcome => {
      const how = signal === null ? `exit code ${String(code)}` : String(signal);
      return { kind: "died", why: [how, this.#stderr.trim().split("\n").at(-1)].filter((each) => each !== "").join(": ") };
    });
    child.send(request, () => undefined);
    try {
      const first = await Promise.race([reply, ended]);
      if (first.kind === "failed") throw errorFromJSON(first.error);
      if (first.kind === "crashed") return { kind: "died", why: first.stack };
      return first;
    } finally {
      replied.abort();
      await Promise.allSettled([reply, ended]);
    }
  }

  kill(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }

  #start(): ChildProcess {
    this.#stderr = "";
    const child = fork(this.#main, [], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      execArgv: [...process.execArgv, ...heapOptions],
      env: { ...process.env, ...allocatorSettings },
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4000);
    });
    child.send(this.#open, () => undefined);
    // A process can also end between two requests.
    child.once("exit", () => {
      if (this.#child === child) this.#child = undefined;
    });
    return child;
  }
}
