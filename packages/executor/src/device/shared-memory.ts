import type { Dtype } from "@lapidary/ir";
import { type ExchangeFunctions, type ExchangeId, type ExchangePlan, type SpaceId, encodeExchange } from "@lapidary/native";
import { LapidaryError } from "@lapidary/std";
import { kernelAttributes } from "./native-ops.js";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** Memory that the workers of one machine share. Native ops send and receive through it. */
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

  /** The checksum of messages. @param sum of the preceding bytes */
  crc32(bytes: Uint8Array, sum = 0): number {
    return this.#functions.crc32(bytes, sum);
  }

  /** Memory for the messages of a program. Undefined if the system gives none. */
  open(self: number, workers: number, regionBytes: readonly number[]): SharedSpace | undefined {
    const created = this.#functions.createSpace(self, workers, Float64Array.from(regionBytes));
    return created === undefined ? undefined : new SharedSpace(this.#node, this.#functions, ...created);
  }
}

export class SharedSpace {
  /** Path of this worker's outbox for other processes of this machine, until the space is closed. */
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

  /** @returns whether the outbox of another worker exists and has the layout of this one */
  connect(worker: number, path: string): boolean {
    return path !== "" && this.#functions.openOutbox(this.#space, worker, path);
  }

  bind(plan: ExchangePlan, dtype: Dtype): SharedExchange {
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

/** One collective through shared memory. After a send, it must be received before the next send. */
export interface SharedExchange {
  /** Whether all readers of the region have read its last message. Waits for them up to the timeout. */
  readonly canSend: (timeoutUs: number) => boolean;
  /** Whether all parts have arrived. Waits for them up to the timeout. */
  readonly canReceive: (timeoutUs: number) => boolean;
  readonly send: (x: DeviceTensor) => void;
  /** Sends like `send`, but flips one bit after the checksum is computed. For fault injection. */
  readonly sendCorrupted: (x: DeviceTensor) => void;
  /** @throws LAP_WORKER_MESSAGE if a message does not have the checksum that its sender wrote */
  readonly receive: () => DeviceTensor;
}

function damagedMessage(sender: number, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_MESSAGE",
    message: `a message of worker ${sender} was damaged in shared memory (checksum differs)`,
    location: `worker ${sender}`,
    cause,
  });
}
