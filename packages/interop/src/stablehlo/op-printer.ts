import type { OpName, Value, ValueOf } from "@lapidary/ir";
import type { Writer } from "./writer.js";

/** What the printer of an op sees. */
export interface PrintContext<N extends OpName> {
  readonly writer: Writer;
  readonly value: ValueOf<N>;
  readonly attrs: ValueOf<N>["attrs"];
  /** The operands, with their types and shardings. */
  readonly inputs: readonly Value[];
  /** The SSA names that hold them. */
  readonly names: readonly string[];
}

/** The right-hand side of the operation that makes the value; what it needs besides, it writes before. */
export type OpPrinter<N extends OpName> = (context: PrintContext<N>) => Printed;

/** An operation's text, or the SSA name that holds the same value already. */
export type Printed = string | { readonly sameAs: string };

/** A printer for every op: one without does not compile. */
export type OpPrinters<N extends OpName = OpName> = { readonly [K in N]: OpPrinter<K> };
