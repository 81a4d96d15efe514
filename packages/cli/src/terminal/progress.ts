import type { Output } from "./output.js";
import type { Paint } from "./paint.js";

const drawEveryMs = 100;
const plainEveryMs = 5000;

/**
 * One line that says what goes on. In a terminal it is redrawn in place; elsewhere a plain line appears when a new phase
 * begins and every few seconds while its state changes.
 */
export class Progress {
  readonly #phases = new Set<string>();
  #phase = "";
  #state: () => string = () => "";
  #said = "";
  #drawn = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly stream: Output,
    private readonly quiet: boolean,
    private readonly paint: Paint,
  ) {}

  /**
   * @param phase changes seldom: "train the tokenizer", "train"
   * @param state read whenever the line is drawn, so that it may count seconds
   */
  update(phase: string, state: string | (() => string) = ""): void {
    if (this.quiet) return;
    // Work that goes on side by side takes turns on the line: only what is new is worth a line of its own.
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

  /** Takes the line away until it is next drawn, so that something else can be written. */
  clear(): void {
    if (!this.#drawn) return;
    this.stream.write("\r\x1b[2K");
    this.#drawn = false;
    this.#said = "";
  }

  /** Draws what there is to say at once. */
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
    if (plain === this.#said) return;
    this.#said = plain;
    if (this.stream.isTTY !== true) {
      this.stream.write(`${plain}\n`);
      return;
    }
    // A terminal that does not know its width says 0.
    const room = (this.stream.columns || 80) - 1 - this.#phase.length;
    this.stream.write(`\r\x1b[2K${this.paint.cyan(this.#phase)}${`  ${state}`.slice(0, Math.max(0, room))}`);
    this.#drawn = true;
  }
}
