import { assert } from "@lapidary/std";
import { busyError, stoppedError } from "../errors.js";
import type { GeneratedToken, GenerationEngine, GenerationRow, RowEnd } from "../engine.js";

/** One text of a request. */
export interface RowRequest extends Omit<GenerationRow, "signal" | "onToken" | "onEnd"> {
  /** @returns whether the row continues */
  onToken(token: GeneratedToken): boolean;
  onEnd(reason: RowEnd): void;
}

export interface SchedulerActivity {
  /** Rows that no call of the engine has yet. */
  readonly waitingRows: number;
  readonly runningRows: number;
  /** Calls of the engine in flight. */
  readonly calls: number;
}

/**
 * Gives rows to the engine. Requests take turns: a batch has one row of each waiting request before it has a second row of any. The number of
 * waiting rows has a limit.
 */
export class Scheduler {
  readonly #engine: GenerationEngine;
  readonly #maxWaitingRows: number;
  /** Requests with waiting rows, in the order of their turns. */
  #turns: Request[] = [];
  readonly #requests = new Set<Request>();
  readonly #calls = new Set<Promise<void>>();
  #runningRows = 0;
  #next: NodeJS.Immediate | undefined;
  #isClosed = false;

  constructor(engine: GenerationEngine, maxWaitingRows: number) {
    this.#engine = engine;
    this.#maxWaitingRows = maxWaitingRows;
  }

  get activity(): SchedulerActivity {
    return { waitingRows: this.#waitingRows(), runningRows: this.#runningRows, calls: this.#calls.size };
  }

  /**
   * Generates the rows of one request. Resolves after the last row ended. If a row fails, the other rows are aborted.
   *
   * @throws LAP_SERVE_BUSY if too many rows wait
   * @throws LAP_SERVE_STOPPED after `close`
   * @throws the reason of `signal` after its abort
   */
  async run(rows: readonly RowRequest[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#isClosed) throw stoppedError();
    if (this.#waitingRows() + rows.length > this.#maxWaitingRows) throw busyError(this.#maxWaitingRows);
    const request = new Request(rows);
    const abort = (): void => request.fail(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    this.#requests.add(request);
    this.#turns.push(request);
    this.#startSoon();
    try {
      await request.ended;
    } finally {
      signal.removeEventListener("abort", abort);
      this.#requests.delete(request);
      this.#turns = this.#turns.filter((each) => each !== request);
    }
  }

  /** Fails every request with LAP_SERVE_STOPPED. Resolves after the engine ended its calls. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearImmediate(this.#next);
    for (const request of this.#requests) request.fail(stoppedError());
    await Promise.all(this.#calls);
  }

  #waitingRows(): number {
    return this.#turns.reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** Requests that arrive in the same turn of the event loop can share the first batch. */
  #startSoon(): void {
    if (this.#next !== undefined || this.#isClosed) return;
    this.#next = setImmediate(() => {
      this.#next = undefined;
      while (this.#calls.size < this.#engine.maxConcurrentCalls) {
        const batch = this.#takeBatch();
        if (batch.length === 0) return;
        const call = this.#call(batch).finally(() => {
          this.#calls.delete(call);
          this.#runningRows -= batch.length;
          this.#startSoon();
        });
        this.#calls.add(call);
        this.#runningRows += batch.length;
      }
    });
  }

  /** A request whose row does not fit in this batch keeps its turn. */
  #takeBatch(): Row[] {
    const { maxBatchRows } = this.#engine;
    const batch: Row[] = [];
    for (let before = -1; before < batch.length && batch.length < maxBatchRows; ) {
      before = batch.length;
      for (const request of [...this.#turns]) {
        const row = request.waiting[0];
        if (batch.length >= maxBatchRows) break;
        if (row === undefined || !this.#canAdd(batch, row)) continue;
        request.waiting.shift();
        batch.push(row);
        this.#turns = this.#turns.filter((each) => each !== request);
        if (request.waiting.length > 0) this.#turns.push(request);
      }
    }
    return batch;
  }

  #canAdd(batch: readonly Row[], row: Row): boolean {
    if (batch.length === 0 || this.#engine.canBatch === undefined) return true;
    return this.#engine.canBatch([...batch, row].map(({ forEngine }) => forEngine));
  }

  /** Never rejects: the requests of the rows fail instead. */
  async #call(batch: readonly Row[]): Promise<void> {
    try {
      await this.#engine.generate(batch.map(({ forEngine }) => forEngine));
      for (const row of batch) assert(row.isEnded, "the engine ends every row of a call");
    } catch (error) {
      for (const row of batch) row.fail(error);
    }
  }
}

class Row {
  readonly #request: Request;
  readonly #controller = new AbortController();
  readonly forEngine: GenerationRow;
  #isEnded = false;

  constructor(request: Request, asked: RowRequest) {
    this.#request = request;
    this.forEngine = {
      ...asked,
      signal: this.#controller.signal,
      onToken: (token) =>
        this.#receive(() => {
          if (asked.onToken(token)) return;
          this.abort(new Error("the text is complete"));
          this.#request.endRow();
        }),
      onEnd: (reason) =>
        this.#receive(() => {
          asked.onEnd(reason);
          this.#isEnded = true;
          this.#request.endRow();
        }),
    };
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Ends the row without a result. The engine stops to compute it. */
  abort(reason: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#controller.abort(reason);
  }

  fail(error: unknown): void {
    if (!this.#isEnded) this.#request.fail(error);
  }

  #receive(handle: () => void): void {
    if (this.#isEnded) return;
    try {
      handle();
    } catch (error) {
      this.#request.fail(error);
    }
  }
}

class Request {
  readonly #rows: readonly Row[];
  #left: number;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  /** Rejects with the first failure of a row. */
  readonly ended: Promise<void>;
  /** Rows that wait for the engine. */
  waiting: Row[];

  constructor(rows: readonly RowRequest[]) {
    this.#rows = rows.map((row) => new Row(this, row));
    this.waiting = [...this.#rows];
    this.#left = rows.length;
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  endRow(): void {
    this.#left--;
    if (this.#left === 0) this.#resolve();
  }

  fail(error: unknown): void {
    this.waiting = [];
    for (const row of this.#rows) row.abort(error);
    this.#reject(error);
  }
}
