import type { AtomId } from "@lapidary/topology";
import type { KernelCost } from "../cost/kernel-cost.js";
import type { Stage } from "../network/transfer.js";

/** Index of a transfer in `StepList.transfers`. */
export type TransferId = number;

/** A transfer that runs beside the core: a collective, or a copy to or from the host. */
export interface Transfer {
  readonly id: TransferId;
  /** The program's op, or `offload` and `reload`. */
  readonly op: string;
  /** Mesh axes joined by `+`; `host` for copies. */
  readonly axis: string;
  readonly name: string;
  readonly why: string;
  /** The chips that take part in one: those that differ along these atoms. */
  readonly atoms: readonly AtomId[];
  readonly stages: readonly Stage[];
  /** Program bytes that one chip sends, in the program's own types. */
  readonly programBytes: number;
  /** A transfer that must have ended before this one begins (data comes back only after it has gone). */
  readonly after?: TransferId;
}

/** What a core does, one after another. */
export type CoreStep =
  | { readonly kind: "start"; readonly transfer: TransferId }
  | { readonly kind: "run"; readonly kernel: KernelCost }
  | { readonly kind: "done"; readonly transfer: TransferId };

/** A program as the timeline sees it: every chip's core goes through `steps`. */
export interface StepList {
  readonly steps: readonly CoreStep[];
  readonly transfers: readonly Transfer[];
}
