import type { Piece, Pieces } from "./unpacked.js";

/** The bytes between gaps, run by run. */
export class PieceRuns {
  readonly #pieces: Pieces;
  #next: Piece | undefined;
  #isDone = false;
  #error: string | undefined;
  #end: Exclude<Piece, Buffer> | undefined;

  constructor(pieces: Pieces) {
    this.#pieces = pieces;
  }

  /** What ended the last run; undefined inside of a run and at the end of the file. */
  get end(): Exclude<Piece, Buffer> | undefined {
    return this.#end;
  }

  /** The error of the file, known after the last run. */
  get error(): string | undefined {
    return this.#error;
  }

  async hasNext(): Promise<boolean> {
    while (!this.#isDone && !Buffer.isBuffer(this.#next)) await this.#advance();
    return !this.#isDone;
  }

  /** The bytes of the run. */
  async *bytes(): AsyncGenerator<Buffer> {
    this.#end = undefined;
    for (; !this.#isDone; await this.#advance()) {
      if (this.#next === undefined) continue;
      if (!Buffer.isBuffer(this.#next)) {
        this.#end = this.#next;
        return;
      }
      yield this.#next;
    }
  }

  /** Skips the rest of the run. */
  async skip(): Promise<void> {
    while (!this.#isDone && this.#end === undefined) {
      if (this.#next !== undefined && !Buffer.isBuffer(this.#next)) return;
      await this.#advance();
    }
  }

  async #advance(): Promise<void> {
    const next = await this.#pieces.next();
    this.#isDone = next.done === true;
    this.#next = next.done === true ? undefined : next.value;
    if (next.done === true) this.#error = next.value;
  }
}
