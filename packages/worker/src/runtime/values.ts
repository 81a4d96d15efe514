import { type Sharding, type TensorType, printSharding, printType } from "@lapidary/ir";
import type { LapidaryError } from "@lapidary/std";
import type { Mesh } from "@lapidary/topology";
import { type Held, disposeHeld, heldBytes } from "../executor/executor.js";
import type { ValueId } from "../protocol.js";
import { unknownValueError } from "./errors.js";

/** A value that this worker holds a block of. */
export interface Value {
  readonly held: Held;
  readonly type: TensorType;
  readonly sharding: Sharding;
  /** Type and sharding in one text, to compare. */
  readonly layout: string;
}

export const layoutOf = (mesh: Mesh, type: TensorType, sharding: Sharding): string => `${printType(type)} ${printSharding(mesh, sharding)}`;

/** The values of a run, by handle. A value whose computation failed is the failure. */
export class ValueStore {
  readonly #values = new Map<ValueId, Value | LapidaryError>();

  has(id: ValueId): boolean {
    return this.#values.has(id);
  }

  /** @throws LAP_WORKER_VALUE_UNKNOWN, or the error that the value failed with */
  get(id: ValueId): Value {
    const value = this.#values.get(id);
    if (value === undefined) throw unknownValueError(id);
    if ("held" in value) return value;
    throw value;
  }

  /** Replaces what was there. */
  set(id: ValueId, value: Value | LapidaryError): void {
    this.#dispose(id);
    this.#values.set(id, value);
  }

  /** Forgets a value without disposing it: it was consumed. */
  release(id: ValueId): void {
    this.#values.delete(id);
  }

  /** @returns the bytes that were freed */
  drop(id: ValueId): number {
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

  bytes(): Record<ValueId, number> {
    return Object.fromEntries([...this.#values].map(([id, value]) => [id, "held" in value ? heldBytes(value.held) : 0]));
  }

  #dispose(id: ValueId): void {
    const value = this.#values.get(id);
    if (value !== undefined && "held" in value) disposeHeld(value.held);
  }
}
