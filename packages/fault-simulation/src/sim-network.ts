import type { Transport, Wire, WireSink } from "@lapidary/fabric";
import { LapidaryError } from "@lapidary/std";
import type { VirtualTime } from "./virtual-time.js";

/** A process, as far as the network knows it. */
interface NetworkProcess {
  readonly isAlive: boolean;
}

/** The thread that has one end of a connection. */
interface NetworkThread {
  readonly process: NetworkProcess;
  /** Runs work when the thread can; never if its process has ended. */
  execute(work: () => void): void;
}

/** Bytes of one direction that have not arrived, or the end of the stream. */
interface InFlight {
  readonly parts: readonly Uint8Array[] | "end";
  readonly flushed: () => void;
  readonly error?: unknown;
}

/** A process that accepts connections. */
interface Listening {
  readonly thread: NetworkThread;
  readonly accept: (attach: (sink: WireSink) => Wire) => void;
}

/** Range of the time that bytes need, in milliseconds. */
const usualDelay_ms = [0.02, 0.6] as const;
/** A slow connection needs up to so long. */
const slowDelay_ms = 120;

/**
 * The network of a simulated machine: streams of bytes between processes. The bytes of one direction arrive in their order; those of different
 * connections, and of both directions, arrive in any order. The seed decides every delay.
 *
 * Faults: a connection is slow, is cut, or delivers no bytes any more in one direction without an error (half-open); two processes cannot reach each
 * other for some time (partition).
 */
export class SimNetwork {
  readonly #listening = new Map<string, Listening>();
  readonly connections = new Set<SimConnection>();
  /** Pairs of processes that cannot reach each other, and until when. */
  readonly #partitions: { readonly a: NetworkProcess; readonly b: NetworkProcess; readonly until: number }[] = [];

  constructor(readonly time: VirtualTime) {}

  /** Paths at which a process listens. */
  get listeners(): string[] {
    return [...this.#listening].filter(([, { thread }]) => thread.process.isAlive).map(([path]) => path);
  }

  removeSockets(directory: string, named: RegExp): void {
    for (const path of [...this.#listening.keys()])
      if (path.startsWith(`${directory}/`) && named.test(path.slice(directory.length + 1))) this.#listening.delete(path);
  }

  transportOf(thread: NetworkThread): Transport {
    return {
      dial: (path, sink, timeoutMs) => this.#dial(thread, path, sink, timeoutMs),
      listen: async (path, accept) => {
        await this.#soon(thread);
        const before = this.#listening.get(path);
        if (before?.thread.process.isAlive === true)
          throw new LapidaryError({ code: "LAP_FABRIC_ADDRESS", message: "another process listens on this socket", location: path });
        const listening = { thread, accept };
        this.#listening.set(path, listening);
        return () => {
          if (this.#listening.get(path) === listening) this.#listening.delete(path);
        };
      },
    };
  }

  /** The processes cannot reach each other for so long. Connections stay, and nothing arrives meanwhile. */
  partition(a: NetworkProcess, b: NetworkProcess, ms: number): void {
    this.#partitions.push({ a, b, until: this.time.now() + ms });
  }

  /** When the processes can reach each other: now or later. */
  reachableAt(a: NetworkProcess, b: NetworkProcess): number {
    let at = this.time.now();
    for (const { a: one, b: other, until } of this.#partitions)
      if ((one === a && other === b) || (one === b && other === a)) at = Math.max(at, until);
    return at;
  }

  /** The system closes the connections of a process that has ended. What it had sent arrives, or a part of it. */
  processEnded(process: NetworkProcess): void {
    for (const connection of [...this.connections]) connection.processEnded(process);
  }

  delay_ms(isSlow: boolean): number {
    const [least, most] = usualDelay_ms;
    return least + this.time.random.next() * (isSlow ? slowDelay_ms : most - least);
  }

  /** Resolves in a later event of the thread. */
  #soon(thread: NetworkThread): Promise<void> {
    return new Promise((resolve) => this.time.at(this.delay_ms(false), () => thread.execute(resolve)));
  }

  #dial(thread: NetworkThread, path: string, sink: WireSink, timeoutMs: number): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const refuse = (why: string): void =>
        thread.execute(() =>
          reject(new LapidaryError({ code: "LAP_FABRIC_UNREACHABLE", message: `cannot connect to the socket: ${why}`, location: path })),
        );
      this.time.at(this.delay_ms(false), () => {
        const listening = this.#listening.get(path);
        if (listening?.thread.process.isAlive !== true) return refuse("ECONNREFUSED");
        const wait = this.reachableAt(thread.process, listening.thread.process) - this.time.now();
        if (wait > timeoutMs) {
          this.time.at(timeoutMs, () => refuse("no reply in time"));
          return;
        }
        this.time.at(wait, () => {
          if (!thread.process.isAlive || !listening.thread.process.isAlive || this.#listening.get(path) !== listening)
            return refuse("ECONNREFUSED");
          const connection = new SimConnection(this, thread, listening.thread);
          this.connections.add(connection);
          thread.execute(() => resolve(connection.open(thread, sink)));
          listening.thread.execute(() => listening.accept((accepted) => connection.open(listening.thread, accepted)));
        });
      });
    });
  }
}

/** A connection between two threads. Each direction is a queue. */
export class SimConnection {
  readonly #network: SimNetwork;
  readonly #ends: readonly [End, End];

  constructor(network: SimNetwork, caller: NetworkThread, listener: NetworkThread) {
    this.#network = network;
    const [a, b] = [new End(network, caller), new End(network, listener)];
    a.peer = b;
    b.peer = a;
    this.#ends = [a, b];
  }

  open(thread: NetworkThread, sink: WireSink): Wire {
    const end = this.#ends[0].thread === thread && this.#ends[0].sink === undefined ? this.#ends[0] : this.#ends[1];
    return end.open(sink, () => this.#closed());
  }

  /** The connection breaks: bytes in flight are lost, and both sides get an error. */
  cut(): void {
    for (const end of this.#ends) end.break(Object.assign(new Error("ECONNRESET"), { code: "ECONNRESET" }));
    this.#closed();
  }

  /** From now on no bytes arrive in one direction, and no side gets an error. The end of a side does arrive: the system reports it. */
  mute(direction: 0 | 1): void {
    this.#ends[direction].isMute = true;
  }

  slow(ms: number): void {
    for (const end of this.#ends) end.slowUntil = this.#network.time.now() + ms;
  }

  processEnded(process: NetworkProcess): void {
    for (const end of this.#ends) if (end.thread.process === process) end.peer?.endOfPeer();
    if (this.#ends.some(({ thread }) => thread.process === process)) this.#closed();
  }

  #closed(): void {
    this.#network.connections.delete(this);
  }
}

/** One end: the queue of bytes that come to it, and the wire that its thread writes to. */
class End {
  peer: End | undefined;
  sink: WireSink | undefined;
  /** Bytes to this end are lost from now on. */
  isMute = false;
  slowUntil = 0;
  readonly #network: SimNetwork;
  readonly #queue: InFlight[] = [];
  #arrivesAt = 0;
  #isPaused = false;
  #isScheduled = false;
  /** This end reads no more. */
  #isClosed = false;
  /** This end writes no more. */
  #isDestroyed = false;
  /** The peer has ended the stream to this end. */
  #isEnding = false;

  constructor(
    network: SimNetwork,
    readonly thread: NetworkThread,
  ) {
    this.#network = network;
  }

  open(sink: WireSink, onClosed: () => void): Wire {
    this.sink = sink;
    this.#schedule();
    return {
      write: (parts, flushed) => {
        if (!this.#isDestroyed && this.thread.process.isAlive) this.peer?.push({ parts, flushed: () => this.thread.execute(flushed) });
      },
      end: () => this.#sendEnd(),
      destroy: () => {
        if (this.#isDestroyed) return;
        this.#isDestroyed = true;
        this.#isClosed = true;
        this.#queue.length = 0;
        this.#sendEnd();
        onClosed();
      },
      pause: () => {
        this.#isPaused = true;
      },
      resume: () => {
        this.#isPaused = false;
        this.#schedule();
      },
    };
  }

  /** Bytes are on their way to this end. */
  push(item: InFlight): void {
    if (this.#isClosed || this.#isEnding || (this.isMute && item.parts !== "end")) return;
    if (item.parts === "end") this.#isEnding = true;
    this.#queue.push(item);
    this.#schedule();
  }

  /** The process of the peer has ended: a part of what it had sent arrives, and then the end. */
  endOfPeer(): void {
    if (this.#isClosed) return;
    const { random } = this.#network.time;
    this.#queue.length = random.integer(this.#queue.length + 1);
    const last = this.#queue.at(-1);
    if (last !== undefined && last.parts !== "end" && random.integer(2) === 0) {
      const bytes = Buffer.concat(last.parts);
      this.#queue[this.#queue.length - 1] = { ...last, parts: [bytes.subarray(0, random.integer(bytes.length + 1))] };
    }
    this.#isEnding = false;
    this.push({ parts: "end", flushed: () => undefined });
  }

  break(error: unknown): void {
    if (this.#isClosed) return;
    this.#queue.length = 0;
    this.#isEnding = false;
    this.push({ parts: "end", flushed: () => undefined, error });
  }

  #sendEnd(): void {
    this.peer?.push({ parts: "end", flushed: () => undefined });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isPaused || this.sink === undefined || this.#queue.length === 0) return;
    this.#isScheduled = true;
    const { time } = this.#network;
    const now = time.now();
    const reachable = this.peer === undefined ? now : this.#network.reachableAt(this.thread.process, this.peer.thread.process);
    this.#arrivesAt = Math.max(this.#arrivesAt, reachable, now + this.#network.delay_ms(this.slowUntil > now));
    time.at(this.#arrivesAt - now, () =>
      this.thread.execute(() => {
        this.#isScheduled = false;
        this.#arrive();
      }),
    );
  }

  #arrive(): void {
    if (this.#isPaused || this.#isClosed) return;
    const next = this.#queue.shift();
    if (next === undefined) return;
    if (next.parts === "end") {
      this.#isClosed = true;
      this.sink?.ended(next.error);
      // A socket whose peer has ended ends too.
      this.#sendEnd();
      return;
    }
    for (const part of next.parts) if (!this.#isClosed) this.sink?.feed(part);
    next.flushed();
    this.#schedule();
  }
}
