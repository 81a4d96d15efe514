import type { Dtype } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** What kernels/shared.cc exports, where the system has what it needs. */
export interface SharedModule {
  createSpace(self: number, workers: number, regionBytes: Float64Array): readonly [space: number, file: number] | undefined;
  openOutbox(space: number, worker: number, path: string): boolean;
  closeSpace(space: number, crossings: Float64Array): void;
  registerCrossing(space: number, code: Float64Array): number;
  canSend(crossing: number, timeoutUs: number): boolean;
  canReceive(crossing: number, timeoutUs: number): boolean;
  damagedBy(crossing: number): number;
  crc32(bytes: Uint8Array, sum: number): number;
}

/** Memory between the workers of one machine; see kernels/shared.cc. */
export class SharedMemory {
  readonly #node: NodeBackend;
  readonly #module: SharedModule;

  private constructor(node: NodeBackend, module: SharedModule) {
    this.#node = node;
    this.#module = module;
  }

  static of(node: NodeBackend, module: Partial<SharedModule>): SharedMemory | undefined {
    return module.createSpace === undefined ? undefined : new SharedMemory(node, module as SharedModule);
  }

  /** The checksum of messages, continued from the sum of the bytes before. */
  crc32(bytes: Uint8Array, sum = 0): number {
    return this.#module.crc32(bytes, sum);
  }

  /** Room for a program's messages, or undefined where the system gives none. */
  open(self: number, workers: number, regionBytes: readonly number[]): SharedSpace | undefined {
    const created = this.#module.createSpace(self, workers, Float64Array.from(regionBytes));
    return created === undefined ? undefined : new SharedSpace(this.#node, this.#module, ...created);
  }
}

export class SharedSpace {
  /** Where other processes of this machine find this worker's outbox, as long as this space is open. */
  readonly path: string;
  readonly #node: NodeBackend;
  readonly #module: SharedModule;
  readonly #space: number;
  readonly #crossings: number[] = [];

  constructor(node: NodeBackend, module: SharedModule, space: number, file: number) {
    this.#node = node;
    this.#module = module;
    this.#space = space;
    this.path = `/proc/${process.pid}/fd/${file}`;
  }

  /** @returns whether the outbox of another worker is there, and like this one's */
  connect(worker: number, path: string): boolean {
    return path !== "" && this.#module.openOutbox(this.#space, worker, path);
  }

  /** @param code as executor/shared-crossing.ts writes it */
  bind(code: readonly number[], dtype: Dtype): SharedCrossing {
    const id = this.#module.registerCrossing(this.#space, Float64Array.from(code));
    this.#crossings.push(id);
    const { binding } = this.#node;
    const attributes = [
      { name: "T", type: binding.TF_ATTR_TYPE, value: dtype === "i32" ? binding.TF_INT32 : binding.TF_FLOAT },
      { name: "crossing", type: binding.TF_ATTR_INT, value: id },
    ];
    const send = (op: string, x: DeviceTensor): void => {
      for (const { id: sent } of binding.executeOp(op, attributes, this.#node.getInputTensorIds([x]), 1)) binding.deleteTensor(sent);
    };
    return {
      canSend: (timeoutUs) => this.#module.canSend(id, timeoutUs),
      canReceive: (timeoutUs) => this.#module.canReceive(id, timeoutUs),
      send: (x) => send("LapidarySend", x),
      sendCorrupted: (x) => send("LapidarySendCorrupted", x),
      receive: () => {
        try {
          return this.#node.executeSingleOutput("LapidaryReceive", attributes, []);
        } catch (error) {
          const sender = this.#module.damagedBy(id);
          throw sender < 0 ? error : damagedMessage(sender, error);
        }
      },
    };
  }

  close(): void {
    this.#module.closeSpace(this.#space, Float64Array.from(this.#crossings));
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
