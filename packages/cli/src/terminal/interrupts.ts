import { LapidaryError, type Clock } from "@lapidary/std";

/** npm and npx forward the Ctrl-C that the terminal also sends. Signals within this time are one Ctrl-C. */
const sameKeyPressMs = 150;

export type InterruptSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

interface SignalSource {
  on(signal: InterruptSignal, listener: (signal: InterruptSignal) => void): unknown;
  off(signal: InterruptSignal, listener: (signal: InterruptSignal) => void): unknown;
}

export const interruptedError = (): LapidaryError => new LapidaryError({ code: "LAP_CLI_INTERRUPTED", message: "interrupted" });

/**
 * The effect of Ctrl-C. By default the first one aborts `signal`, which stops every command that waits or owns processes. The
 * next one ends the process. A command may handle Ctrl-C itself for a while.
 */
export class Interrupts {
  readonly #abort = new AbortController();
  readonly #listener: (signal: InterruptSignal) => void;
  #handler: ((signal: InterruptSignal) => void) | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;

  /** @param exit ends the process immediately */
  constructor(
    private readonly source: SignalSource,
    clock: Clock,
    exit: () => void,
  ) {
    this.#listener = (signal) => {
      const now = clock.monotonic();
      if (now - this.#lastMs < sameKeyPressMs) return;
      this.#lastMs = now;
      if (this.#handler !== undefined) this.#handler(signal);
      else if (this.signal.aborted) exit();
      else this.abort();
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) source.on(signal, this.#listener);
  }

  /** Aborted by the first interrupt that no command has taken over. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  abort(): void {
    this.#abort.abort(interruptedError());
  }

  /** From now on interrupts go to `handler`, until the returned function is called. */
  takeOver(handler: (signal: InterruptSignal) => void): () => void {
    this.#handler = handler;
    return () => {
      this.#handler = undefined;
    };
  }

  close(): void {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) this.source.off(signal, this.#listener);
  }
}
