import { disposeHeld, type Held, heldBytes } from "@lapidary/executor";
import { printSharding, printType } from "@lapidary/ir";
import { type Handle, type TensorSpec, typeOf } from "@lapidary/protocol";
import type { LapidaryError } from "@lapidary/std";
import type { Mesh } from "@lapidary/topology";
import { unknownValueError } from "./errors.js";

/** An array of which this worker has a block. */
export interface DeviceValue {
  readonly held: Held;
  readonly tensor: TensorSpec;
  /** Type and sharding as one text, to compare. */
  readonly layout: string;
}

export const layoutText = (mesh: Mesh, tensor: TensorSpec): string =>
  `${printType(typeOf(tensor))} ${printSharding(mesh, tensor.sharding)}`;

/** The arrays of a run, by handle. If the computation of an array failed, its entry is the failure. */
export class ValueStore {
  readonly #values = new Map<Handle, DeviceValue | LapidaryError>();

  has(id: Handle): boolean {
    return this.#values.has(id);
  }

  /** @throws LAP_WORKER_VALUE_UNKNOWN, or the error that the value failed with */
  get(id: Handle): DeviceValue {
    const value = this.#values.get(id);
    if (value === undefined) throw unknownValueError(id);
    if ("held" in value) return value;
    throw value;
  }

  /** An existing value is replaced. */
  set(id: Handle, value: DeviceValue | LapidaryError): void {
    this.#dispose(id);
    this.#values.set(id, value);
  }

  /** Removes a value without disposing it, because a run consumes it. */
  release(id: Handle): void {
    this.#values.delete(id);
  }

  /** @returns the bytes that were freed */
  drop(id: Handle): number {
    const value = this.#values.get(id);
    if (value === undefined) throw unknownValueError(id);
    const bytes = "held" in value ? heldBytes(value.held) : 0;
    this.#dispose(id);
    this.#values.delete(id);
    return bytes;
  }

  clear(): void {
    for (const id of this.#values.keys()) this.#dispose(id);
    this.#values.clear();
  }

  bytes(): Record<Handle, number> {
    return Object.fromEntries([...this.#values].map(([id, value]) => [id, "held" in value ? heldBytes(value.held) : 0]));
  }

  #dispose(id: Handle): void {
    const value = this.#values.get(id);
    if (value !== undefined && "held" in value) disposeHeld(value.held);
  }
}
