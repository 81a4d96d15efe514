import { redactSecrets, counted } from "@lapidary/std";
import { closeSync, openSync, writeSync } from "node:fs";

/**
 * A log file that is written line by line, at once. A full disk loses lines and stops nothing: as soon as there is space again, a line in
 * the file says how many were lost. Lines have no secrets: people attach the file to reports.
 */
export class LogFile {
  readonly #file: number;
  #lost = 0;
  /** The file ends in the middle of a line. */
  #isCut = false;
  #reason = "";

  /** Readable by its owner alone. */
  constructor(path: string) {
    this.#file = openSync(path, "a", 0o600);
  }

  /** @param text whole lines */
  write(text: string): void {
    if (this.#lost > 0 && this.#append(`${JSON.stringify({ level: 40, time: new Date().toISOString(), msg: this.#lossText() })}\n`))
      this.#lost = 0;
    if (!this.#append(redactSecrets(text))) this.#lost += 1;
  }

  close(): void {
    closeSync(this.#file);
  }

  #lossText(): string {
    return `${counted(this.#lost, "line")} of this log ${this.#lost === 1 ? "was" : "were"} lost (${this.#reason})`;
  }

  /** Whether all of it was written. */
  #append(text: string): boolean {
    const bytes = Buffer.from(this.#isCut ? `\n${text}` : text);
    let at = 0;
    try {
      while (at < bytes.length) at += writeSync(this.#file, bytes, at);
      this.#isCut = false;
      return true;
    } catch (error) {
      this.#isCut ||= at > 0;
      this.#reason = (error as { code?: string }).code ?? String(error);
      return false;
    }
  }
}
