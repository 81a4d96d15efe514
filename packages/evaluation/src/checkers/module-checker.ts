import { Worker } from "node:worker_threads";
import { distrustOf } from "@lapidary/std";
import { badCheckerModule, checkerTimeout, failedChecker } from "../evaluation-errors.js";
import type { FromCheckThread } from "./module-messages.js";
import type { CheckedRow } from "./row.js";

/**
 * A checker that a user wrote: a JavaScript module that exports
 *
 *     check({ prompt, answer, columns }) → a finite number or a boolean, or a promise of one
 *
 * The module runs in a thread, because it may run longer than its limit, which only ending its thread stops. The thread is not a sandbox: the
 * module has the rights of the user, like any program that the user starts. Rows are scored one at a time, in the order of the calls.
 */
export class ModuleChecker {
  readonly #path: string;
  readonly #limit_ms: number;
  readonly #thread: Worker;
  #waiting: PromiseWithHandlers | undefined;
  #failure: Error | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(path: string, limit_ms: number) {
    this.#path = path;
    this.#limit_ms = limit_ms;
    this.#thread = new Worker(new URL("./check-thread.js", import.meta.url), { workerData: path });
    this.#thread.on("message", (message: FromCheckThread) => this.#waiting?.resolve(message));
    this.#thread.on("error", (error) => this.#fail(failedChecker(path, `the module failed outside of check: ${error.message}`)));
    this.#thread.on("exit", () => this.#fail(failedChecker(path, "the module ended its thread")));
  }

  /**
   * Starts the thread and loads the module.
   *
   * @param path absolute
   * @param limit_ms for loading the module, and for the check of each row
   * @throws LapidaryError LAP_CHECKER_MODULE if the module cannot be loaded or exports no function `check`
   */
  static async open(path: string, limit_ms: number): Promise<ModuleChecker> {
    const distrust = distrustOf(path);
    if (distrust !== undefined) throw badCheckerModule(path, distrust);
    const checker = new ModuleChecker(path, limit_ms);
    try {
      const message = await checker.#answer();
      if (message.kind !== "ready") throw badCheckerModule(path, message.kind === "score" ? "it scored no row" : message.why);
      return checker;
    } catch (error) {
      await checker.close();
      throw error;
    }
  }

  /** @throws LapidaryError LAP_CHECKER_FAILED or LAP_CHECKER_TIMEOUT; after a timeout or the end of the thread, each further call fails too */
  check(row: CheckedRow): Promise<number> {
    const score = this.#turn.then(() => this.#score(row));
    // A failure of one row is reported to its caller. It does not fail the next row.
    this.#turn = score.catch(() => undefined);
    return score;
  }

  async close(): Promise<void> {
    this.#failure ??= failedChecker(this.#path, "the checker is closed");
    await this.#thread.terminate();
  }

  async #score(row: CheckedRow): Promise<number> {
    const message = await this.#answer(row);
    if (message.kind === "score") return message.score;
    throw failedChecker(this.#path, message.kind === "ready" ? "the module was loaded twice" : message.why);
  }

  /** Sends the row, if any, and waits for one message of the thread. */
  async #answer(row?: CheckedRow): Promise<FromCheckThread> {
    if (this.#failure !== undefined) throw this.#failure;
    const timer = setTimeout(() => {
      this.#fail(checkerTimeout(this.#path, this.#limit_ms));
      void this.#thread.terminate();
    }, this.#limit_ms);
    try {
      return await new Promise<FromCheckThread>((resolve, reject) => {
        this.#waiting = { resolve, reject };
        if (row !== undefined) this.#thread.postMessage(row);
      });
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  /** The first failure is the cause, and the end of the thread follows from it. */
  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
  }
}

interface PromiseWithHandlers {
  readonly resolve: (message: FromCheckThread) => void;
  readonly reject: (error: Error) => void;
}
