import { type Channel, Heartbeat, type Runtime } from "@lapidary/fabric";
import {
  type HeldReplicas,
  type MessageId,
  type MessageKind,
  type MessageOf,
  type NumericsName,
  type Peer,
  type WorkerHello,
  type WorkerReplies,
  decodeAnswer,
  decodeHeartbeat,
  decodeReply,
  encodeMessage,
  epochOf,
  messageId,
  heartbeatTimes,
} from "@lapidary/protocol";
import { type JsonValue, type LapidaryError, errorFromJSON } from "@lapidary/std";
import { type Eviction, type WorkerExit, workerDidNotStart, workerLost } from "./worker-group-errors.js";
import type { HostProcess } from "./host-process.js";
import type { RegisteredWorker } from "@lapidary/api/worker-registry";

/** Answer of a worker to one message. */
export interface Answered<K extends MessageKind> {
  readonly reply: WorkerReplies[K];
  /** Begins at offset 0 of a buffer of its own. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

export interface WorkerProcessOptions {
  readonly name: string;
  readonly numerics: NumericsName;
  readonly host: HostProcess;
  readonly runtime: Runtime;
  readonly log: (line: string) => void;
}

interface Pending {
  /** @throws LAP_PROTOCOL_MALFORMED */
  readonly resolve: (reply: JsonValue, payload: Uint8Array<ArrayBuffer>) => void;
  readonly reject: (error: LapidaryError) => void;
}

/** One worker process in the view of its coordinator: spawned or taken over, connected, ready, ended. */
export class WorkerProcess {
  readonly name: string;
  readonly pid: number;
  readonly numerics: NumericsName;
  /** Whose copies it holds, as far as is known. */
  heldReplicas: HeldReplicas | undefined;
  /** Settles when its kernels are loaded and it is in no worker group; rejects when it ends before. */
  readonly ready: Promise<"tensorflow" | "wasm">;
  /** Settles, and never rejects, when the process has ended. */
  readonly exited: Promise<WorkerExit>;
  readonly #host: HostProcess;
  readonly #runtime: Runtime;
  readonly #log: (line: string) => void;
  readonly #pending = new Map<MessageId, Pending>();
  #channel: Channel | undefined;
  /** The build of the process, from its hello. */
  #build = "unknown";
  #pulse: Channel | undefined;
  #exit: WorkerExit | undefined;
  #next = 0;
  /** Why it was ended while it was alive. */
  #eviction: Eviction | undefined;
  #isLeaving = false;
  #answers = 0;
  #turns = 0;
  #resolveReady: (backend: "tensorflow" | "wasm") => void = () => undefined;
  #rejectReady: (error: LapidaryError) => void = () => undefined;

  constructor({ name, numerics, host, runtime, log }: WorkerProcessOptions) {
    this.name = name;
    this.numerics = numerics;
    this.#host = host;
    this.#runtime = runtime;
    this.#log = log;
    this.pid = host.id.pid;
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.ready.catch(() => undefined);
    this.exited = host.ended.then(({ code, signal, cause }) => {
      if (cause !== undefined) this.#rejectReady(workerDidNotStart(name, cause));
      const exit: WorkerExit = {
        name,
        pid: this.pid,
        code,
        signal,
        isExpected: this.#isLeaving,
        ...(this.#eviction === undefined ? {} : { eviction: this.#eviction }),
        ...(this.heldReplicas === undefined ? {} : { heldReplicas: this.heldReplicas }),
      };
      this.#exit = exit;
      this.#failAll(workerLost(exit));
      return exit;
    });
  }

  /** Its entry in the registry for the next coordinator. */
  get registered(): RegisteredWorker {
    return { ...this.#host.id, name: this.name, numerics: this.numerics };
  }

  /** Whether it has connected a channel. */
  get hasConnected(): boolean {
    return this.#channel !== undefined || this.#pulse !== undefined;
  }

  get isAlive(): boolean {
    return this.#exit === undefined;
  }

  /** Called by the pool once, when the process has connected. */
  attach(channel: Channel, { build }: WorkerHello): void {
    if (this.#channel !== undefined) return void channel.close();
    this.#channel = channel;
    this.#build = build;
    channel.onMessage((header, payload) => this.#receive(header, payload));
    // A process without its channel is not usable, so it is killed.
    void channel.closed.then((reason) => {
      if (reason.kind !== "lost" || !this.isAlive) return;
      if (reason.error.code === "LAP_PROTOCOL_MALFORMED") this.#failAll(reason.error);
      this.kill();
    });
  }

  /**
   * Called by the pool when the process has connected its channel for heartbeats. A worker without heartbeats is killed, because its later answers
   * would not be used.
   */
  watch(channel: Channel, { build }: WorkerHello): void {
    if (this.#pulse?.isOpen === true) return void channel.close();
    this.#pulse = channel;
    this.#build = build;
    channel.onMessage((header) => {
      this.#turns = decodeHeartbeat(header, this.#peer);
    });
    new Heartbeat(channel, { ...this.#runtime, ...heartbeatTimes });
    void channel.closed.then((reason) => {
      if (reason.kind !== "lost" || !this.isAlive) return;
      if (reason.error.code === "LAP_FABRIC_DEADLINE") return this.evict({ reason: "no_heartbeat", waited_ms: heartbeatTimes.deadlineMs });
      if (reason.error.code !== "LAP_PROTOCOL_MALFORMED") return;
      this.#failAll(reason.error);
      this.kill();
    });
  }

  /** Kills a process that is alive and not usable. */
  evict(eviction: Eviction): void {
    this.#eviction ??= eviction;
    this.kill();
  }

  get pending(): number {
    return this.#pending.size;
  }

  get answers(): number {
    return this.#answers;
  }

  get eventLoopTicks(): number {
    return this.#turns;
  }

  /**
   * Sends a message immediately, and resolves to its answer. The payload must not change until then.
   *
   * @throws LAP_WORKER_LOST if the process ends first; the error that the worker answers
   */
  request<K extends MessageKind>(message: MessageOf<K>, payload: readonly Uint8Array[] = []): Promise<Answered<K>> {
    return new Promise<Answered<K>>((resolve, reject) => {
      if (this.#exit !== undefined || this.#channel === undefined || !this.#channel.isOpen) {
        // The process is ending: its exit decides the error.
        void this.exited.then((exit) => reject(workerLost(exit)));
        return;
      }
      const id = messageId(this.#next++);
      this.#pending.set(id, {
        resolve: (reply, bytes) => resolve({ reply: decodeReply<K>(message.kind, reply, this.#peer), payload: bytes }),
        reject,
      });
      this.#channel.send(encodeMessage(message, id), payload);
    });
  }

  /** Ends the process with a message, or by a signal if it does not end in time. */
  async shutdown(timeoutMs = 2000): Promise<WorkerExit> {
    this.#isLeaving = true;
    const stop = this.#runtime.timer.after(timeoutMs, () => this.kill());
    this.request({ kind: "shutdown", epoch: epochOf(0) }).catch(() => undefined);
    if (this.#channel === undefined) this.kill();
    const exit = await this.exited;
    stop();
    await this.#channel?.close();
    return exit;
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.#host.kill(signal);
  }

  get #peer(): Peer {
    return { name: `worker ${this.name}`, build: this.#build };
  }

  /** @throws LAP_PROTOCOL_MALFORMED, which closes the channel */
  #receive(header: JsonValue, payload: Uint8Array<ArrayBuffer>): void {
    const answer = decodeAnswer(header, this.#peer);
    if (answer.kind === "log") return this.#log(answer.line);
    if (answer.kind === "ready") {
      this.heldReplicas = answer.holds ?? undefined;
      return this.#resolveReady(answer.backend);
    }
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    if (answer.kind === "error") pending.reject(errorFromJSON(answer.error));
    else pending.resolve(answer.reply, payload);
    this.#pending.delete(answer.id);
    this.#answers++;
  }

  /** Every request in flight fails, and so does the start. */
  #failAll(error: LapidaryError): void {
    this.#rejectReady(workerDidNotStart(this.name, error));
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
