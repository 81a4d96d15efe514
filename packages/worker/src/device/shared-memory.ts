import type { Dtype } from "@lapidary/ir";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** What native/shared.cc exports, where the system has what it needs. */
export interface SharedModule {
  createSpace(self: number, workers: number, regionBytes: Float64Array): readonly [space: number, file: number] | undefined;
  openOutbox(space: number, worker: number, path: string): boolean;
  closeSpace(space: number, crossings: Float64Array): void;
  registerCrossing(space: number, code: Float64Array): number;
  canSend(crossing: number, timeoutUs: number): boolean;
  canReceive(crossing: number, timeoutUs: number): boolean;
}

/** Memory between the workers of one machine; see native/shared.cc. */
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
    return {
      canSend: (timeoutUs) => this.#module.canSend(id, timeoutUs),
      canReceive: (timeoutUs) => this.#module.canReceive(id, timeoutUs),
      send: (x) => {
        for (const { id: sent } of binding.executeOp("LapidarySend", attributes, this.#node.getInputTensorIds([x]), 1))
          binding.deleteTensor(sent);
      },
      receive: () => this.#node.executeSingleOutput("LapidaryReceive", attributes, []),
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
  readonly receive: () => DeviceTensor;
}
