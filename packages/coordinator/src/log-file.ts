import { redactSecrets, counted } from "@lapidary/std";
import { closeSync, openSync, writeSync } from "node:fs";

/**
 * A log file that is written synchronously, line by line. A full disk loses lines and stops nothing. When there is space again, a line in
 * the file reports the number of lost lines. Lines contain no secrets, because users attach the file to reports.
 */
export class LogFile {
  readonly #file: number;
  #lost = 0;
  /** Whether the file ends in the middle of a line. */
  #isCut = false;
  #reason = "";

  /** Only the owner can read the file. */
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

  /** Whether the whole text was written. */
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
