import type { Output } from "./output.js";
import type { Paint } from "@lapidary/report/paint";

const drawEveryMs = 100;
const plainEveryMs = 5000;

/**
 * One line with the current phase. In a terminal, the line is redrawn in place. Otherwise a plain line is printed for a new phase, and
 * every few seconds while the state changes.
 */
export class Progress {
  readonly #phases = new Set<string>();
  #phase = "";
  #state: () => string = () => "";
  #drawnText = "";
  #drawn = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly stream: Output,
    private readonly quiet: boolean,
    private readonly paint: Paint,
  ) {}

  /**
   * @param phase changes rarely: "train the tokenizer", "train"
   * @param state a function is called whenever the line is drawn, so that it can count seconds
   */
  update(phase: string, state: string | (() => string) = ""): void {
    if (this.quiet) return;
    // Concurrent phases alternate on the line. Only a new phase is printed immediately.
    const isNew = !this.#phases.has(phase);
    this.#phases.add(phase);
    this.#phase = phase;
    this.#state = typeof state === "string" ? () => state : state;
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.#tick(), this.stream.isTTY === true ? drawEveryMs : plainEveryMs);
      this.#timer.unref();
    }
    if (isNew) this.#tick();
  }

  /** Clears the line until it is drawn again, so that other output can be written. */
  clear(): void {
    if (!this.#drawn) return;
    this.stream.write("\r\x1b[2K");
    this.#drawn = false;
    this.#drawnText = "";
  }

  /** Draws the current phase immediately. */
  flush(): void {
    if (!this.quiet && this.#phase !== "") this.#tick();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.clear();
    this.#phase = "";
  }

  #tick(): void {
    const state = this.#state();
    const plain = `lapidary: ${this.#phase}${state === "" ? "" : `: ${state}`}`;
    if (plain === this.#drawnText) return;
    this.#drawnText = plain;
    if (this.stream.isTTY !== true) {
      this.stream.write(`${plain}\n`);
      return;
    }
    // A terminal of unknown width reports 0.
    const columns = (this.stream.columns || 80) - 1 - this.#phase.length;
    this.stream.write(`\r\x1b[2K${this.paint.cyan(this.#phase)}${`  ${state}`.slice(0, Math.max(0, columns))}`);
    this.#drawn = true;
  }
}
