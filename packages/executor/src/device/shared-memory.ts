import type { Dtype } from "@lapidary/ir";
import { type ExchangeFunctions, type ExchangeId, type ExchangePlan, type SpaceId, encodeExchange } from "@lapidary/native";
import { LapidaryError } from "@lapidary/std";
import { kernelAttributes } from "./native-ops.js";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** Memory between the workers of one machine. Kernels of the package native send and receive through it. */
export class SharedMemory {
  readonly #node: NodeBackend;
  readonly #functions: ExchangeFunctions;

  private constructor(node: NodeBackend, functions: ExchangeFunctions) {
    this.#node = node;
    this.#functions = functions;
  }

  static of(node: NodeBackend, functions: ExchangeFunctions | undefined): SharedMemory | undefined {
    return functions === undefined ? undefined : new SharedMemory(node, functions);
  }

  /** The checksum of messages, continued from the sum of the bytes before. */
  crc32(bytes: Uint8Array, sum = 0): number {
    return this.#functions.crc32(bytes, sum);
  }

  /** Room for a program's messages, or undefined where the system gives none. */
  open(self: number, workers: number, regionBytes: readonly number[]): SharedSpace | undefined {
    const created = this.#functions.createSpace(self, workers, Float64Array.from(regionBytes));
    return created === undefined ? undefined : new SharedSpace(this.#node, this.#functions, ...created);
  }
}

export class SharedSpace {
  /** Where other processes of this machine find this worker's outbox, as long as this space is open. */
  readonly path: string;
  readonly #node: NodeBackend;
  readonly #functions: ExchangeFunctions;
  readonly #space: SpaceId;
  readonly #exchanges: ExchangeId[] = [];

  constructor(node: NodeBackend, functions: ExchangeFunctions, space: SpaceId, file: number) {
    this.#node = node;
    this.#functions = functions;
    this.#space = space;
    this.path = `/proc/${process.pid}/fd/${file}`;
  }

  /** @returns whether the outbox of another worker is there, and like this one's */
  connect(worker: number, path: string): boolean {
    return path !== "" && this.#functions.openOutbox(this.#space, worker, path);
  }

  bind(plan: ExchangePlan, dtype: Dtype): SharedCrossing {
    const id = this.#functions.registerExchange(this.#space, encodeExchange(plan));
    this.#exchanges.push(id);
    const { binding } = this.#node;
    const values = { T: dtype === "i32" ? "i32" : "f32", exchange: id } as const;
    const sendAttributes = kernelAttributes(binding, "LapidarySend", values);
    const receiveAttributes = kernelAttributes(binding, "LapidaryReceive", values);
    const send = (op: "LapidarySend" | "LapidarySendCorrupted", x: DeviceTensor): void => {
      for (const { id: sent } of binding.executeOp(op, sendAttributes, this.#node.getInputTensorIds([x]), 1)) binding.deleteTensor(sent);
    };
    return {
      canSend: (timeoutUs) => this.#functions.canSend(id, timeoutUs),
      canReceive: (timeoutUs) => this.#functions.canReceive(id, timeoutUs),
      send: (x) => send("LapidarySend", x),
      sendCorrupted: (x) => send("LapidarySendCorrupted", x),
      receive: () => {
        try {
          return this.#node.executeSingleOutput("LapidaryReceive", receiveAttributes, []);
        } catch (error) {
          const sender = this.#functions.damagedBy(id);
          throw sender < 0 ? error : damagedMessage(sender, error);
        }
      },
    };
  }

  close(): void {
    this.#functions.closeSpace(this.#space, Float64Array.from(this.#exchanges));
  }
}

/** One collective through shared memory. Each may be sent once before it is received. */
export interface SharedCrossing {
  /** Whether nobody reads an earlier message in its place any more; waits for it up to a time. */
  readonly canSend: (timeoutUs: number) => boolean;
  /** Whether all parts have come; waits for them up to a time. */
  readonly canReceive: (timeoutUs: number) => boolean;
  readonly send: (x: DeviceTensor) => void;
  /** Sends like `send`, with one bit flipped after the checksum was taken. For fault injection. */
  readonly sendCorrupted: (x: DeviceTensor) => void;
  /** @throws LAP_WORKER_MESSAGE when a message does not have the checksum that its sender wrote */
  readonly receive: () => DeviceTensor;
}

function damagedMessage(sender: number, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_MESSAGE",
    message: `a message of worker ${sender} was damaged in shared memory (checksum differs)`,
    place: `worker ${sender}`,
    cause,
  });
}
