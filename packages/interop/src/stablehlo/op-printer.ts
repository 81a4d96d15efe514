import type { OpName, Value, ValueOf } from "@lapidary/ir";
import type { Writer } from "./writer.js";

/** The input of an op printer. */
export interface PrintContext<N extends OpName> {
  readonly writer: Writer;
  readonly value: ValueOf<N>;
  readonly attrs: ValueOf<N>["attrs"];
  /** The operands, with their types and shardings. */
  readonly inputs: readonly Value[];
  /** The SSA names of the operands. */
  readonly names: readonly string[];
}

/** Returns the right-hand side of the operation that computes the value; writes auxiliary operations before it. */
export type OpPrinter<N extends OpName> = (context: PrintContext<N>) => Printed;

/** The text of an operation, or the SSA name of an existing equal value. */
export type Printed = string | { readonly sameAs: string };

/** A printer for every op: a missing one is a compile error. */
export type OpPrinters<N extends OpName = OpName> = { readonly [K in N]: OpPrinter<K> };
