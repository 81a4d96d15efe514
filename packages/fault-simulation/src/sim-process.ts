import type { Runtime, Timer, Transport } from "@lapidary/fabric";
import type { ProcessEnd } from "@lapidary/cluster";
import type { SimNetwork } from "./sim-network.js";
import type { VirtualTime } from "./virtual-time.js";

/**
 * A process of the simulated machine. The event queue runs its work only while it is alive. Work for a suspended process waits until it continues.
 *
 * A thread has timers, a clock and connections of its own, and can hang alone.
 */
export class SimProcess {
  readonly started: string;
  readonly threads: SimThread[] = [];
  #isAlive = true;
  #suspendedUntil = 0;
  readonly #onEnd: ((end: ProcessEnd) => void)[] = [];

  constructor(
    readonly time: VirtualTime,
    readonly network: SimNetwork,
    readonly pid: number,
    readonly name: string,
  ) {
    this.started = String(time.now());
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get suspendedUntil(): number {
    return this.#suspendedUntil;
  }

  thread(): SimThread {
    const thread = new SimThread(this);
    this.threads.push(thread);
    return thread;
  }

  suspend(ms: number): void {
    this.#suspendedUntil = this.time.now() + ms;
  }

  /** SIGCONT, and threads that hang continue too. */
  resume(): void {
    this.#suspendedUntil = 0;
    for (const thread of this.threads) thread.resume();
  }

  /** Called with the end of the process, in the same event. */
  onEnd(report: (end: ProcessEnd) => void): void {
    this.#onEnd.push(report);
  }

  /** The process ends: its connections close, and nothing of it runs any more. */
  end(end: ProcessEnd): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.network.processEnded(this);
    for (const report of this.#onEnd.splice(0)) report(end);
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.end({ code: null, signal });
  }
}

/** A thread of a simulated process. */
export class SimThread {
  readonly runtime: Runtime;
  #hangsUntil = 0;
  #timers = 0;
  /** Work that waits until the thread runs again, in order. */
  readonly #waiting: (() => void)[] = [];

  constructor(readonly process: SimProcess) {
    const { time, network } = process;
    const timer: Timer = {
      every: (ms, tick) => {
        let isStopped = false;
        this.#timers++;
        const next = (): void => {
          time.at(ms, () => {
            if (isStopped || !process.isAlive) return;
            this.execute(() => {
              if (isStopped) return;
              next();
              tick();
            });
          });
        };
        next();
        return () => {
          if (!isStopped) this.#timers--;
          isStopped = true;
        };
      },
      after: (ms, work) => {
        let isOver = false;
        this.#timers++;
        const end = (): void => {
          if (!isOver) this.#timers--;
          isOver = true;
        };
        const cancel = time.at(ms, () =>
          this.execute(() => {
            if (isOver) return;
            end();
            work();
          }),
        );
        return () => {
          end();
          cancel();
        };
      },
    };
    const transport: Transport = network.transportOf(this);
    this.runtime = { clock: { now: time.now, monotonic: time.monotonic }, timer, transport };
  }

  /** Timers that run. */
  get timers(): number {
    return this.#timers;
  }

  /** Whether work of the thread can run now. */
  get isRunning(): boolean {
    return this.process.isAlive && this.#blockedUntil <= this.process.time.now();
  }

  /** The thread runs nothing for so long. */
  hang(ms: number): void {
    this.#hangsUntil = this.process.time.now() + ms;
  }

  resume(): void {
    this.#hangsUntil = 0;
    if (this.#waiting.length > 0) this.#continueLater();
  }

  /** Runs work of this thread: now, or when it runs again; never if its process has ended. */
  execute(work: () => void): void {
    if (!this.process.isAlive) return;
    if (this.isRunning && this.#waiting.length === 0) return work();
    this.#waiting.push(work);
    if (this.#waiting.length === 1) this.#continueLater();
  }

  get #blockedUntil(): number {
    return Math.max(this.process.suspendedUntil, this.#hangsUntil);
  }

  #continueLater(): void {
    this.process.time.at(Math.max(0, this.#blockedUntil - this.process.time.now()), () => this.#continue());
  }

  #continue(): void {
    if (!this.process.isAlive) return;
    if (this.isRunning) this.#waiting.shift()?.();
    if (this.#waiting.length > 0) this.#continueLater();
  }
}
