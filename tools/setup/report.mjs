/**
 * Prints the messages of the set-up to stderr, without secrets, because pip and npm print addresses with passwords. In a terminal the line of the running step is redrawn in place; elsewhere the step
 * prints a plain line when it begins, every two seconds while its state changes, and when it ends.
 */
import { redactSecrets } from "./redact.mjs";

const plainEvery_ms = 2000;
const drawEvery_ms = 120;
const labelWidth = 14;

export class Report {
  /** @param {{ stream?: NodeJS.WriteStream, quiet?: boolean }} [options] */
  constructor({ stream = process.stderr, quiet = false } = {}) {
    this.stream = stream;
    this.quiet = quiet;
    this.drawn = false;
    this.stopped = false;
    /** The lines of the running steps. @type {Set<() => string>} */
    this.running = new Set();
  }

  /** Running steps do not print any more. */
  stop() {
    this.clear();
    this.stopped = true;
  }

  /** @param {string} text */
  say(text) {
    if (!this.quiet) this.#line(`lapidary: ${text}`);
  }

  /** Prints even if quiet. @param {string} text */
  warn(text) {
    this.#line(`lapidary: ${text}`);
  }

  clear() {
    if (this.drawn) this.stream.write("\r\x1b[2K");
    this.drawn = false;
  }

  /**
   * Shows that a step is running until the returned `end` is called.
   * @param {string} label the step
   * @param {string} doing its current work
   */
  begin(label, doing) {
    const start_ms = Date.now();
    const heading = label.padEnd(labelWidth);
    let state = "";
    let said = "";
    const elapsed = () => `${((Date.now() - start_ms) / 1000).toFixed(0)} s`;
    const work = () => `${heading} ${doing}${state === "" ? "" : `: ${state}`} (${elapsed()})`;
    const line = () => `lapidary: ${work()}`;
    this.running.add(work);
    const live = this.stream.isTTY === true;
    if (!this.quiet && !live) this.#line(`lapidary: ${heading} ${doing}`);
    const tick = () => {
      if (this.quiet || this.stopped) return;
      if (live) {
        this.#draw();
      } else if (line() !== said) {
        said = line();
        this.#line(said);
      }
    };
    const timer = setInterval(tick, live ? drawEvery_ms : plainEvery_ms);
    timer.unref();
    return {
      /** @param {string} now */
      update: (now) => {
        state = now;
      },
      /** @param {string} [result] */
      end: (result) => {
        clearInterval(timer);
        this.running.delete(work);
        this.clear();
        if (result !== undefined && !this.quiet) this.#line(`lapidary: ${heading} ${result} (${elapsed()})`);
      },
    };
  }

  /** Draws one line for all running steps, each cut to its share of the width. */
  #draw() {
    const width = Math.floor(((this.stream.columns || 80) - "lapidary: ".length - 1) / this.running.size);
    const parts = [...this.running].map((work) => redactSecrets(work()).slice(0, width - 1));
    this.stream.write(`\r\x1b[2Klapidary: ${parts.join(" ")}`);
    this.drawn = true;
  }

  /** @param {string} text */
  #line(text) {
    this.clear();
    this.stream.write(`${redactSecrets(text)}\n`);
  }
}
