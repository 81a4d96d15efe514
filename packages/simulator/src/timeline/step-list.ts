import type { AtomId } from "@lapidary/topology";
import type { KernelCost } from "../cost/kernel-cost.js";
import type { Stage } from "../network/transfer.js";

/** Index of a transfer in `StepList.transfers`. */
export type TransferId = number;

/** An asynchronous transfer: a collective, or a copy to or from the host. */
export interface Transfer {
  readonly id: TransferId;
  /** The program's op, or `offload` and `reload`. */
  readonly op: string;
  /** Mesh axes joined by `+`; `host` for copies. */
  readonly axis: string;
  readonly name: string;
  readonly why: string;
  /** A group of the transfer consists of the chips that differ along these atoms. */
  readonly atoms: readonly AtomId[];
  readonly stages: readonly Stage[];
  /** Program bytes that one chip sends, in the program's own types. */
  readonly programBytes: number;
  /** A transfer that must end before this one begins: a reload begins after its offload. */
  readonly after?: TransferId;
}

/** A step of a core. */
export type CoreStep =
  | { readonly kind: "start"; readonly transfer: TransferId }
  | { readonly kind: "run"; readonly kernel: KernelCost }
  | { readonly kind: "done"; readonly transfer: TransferId };

/** A program as the input of the timeline. The core of every chip runs `steps` in order. */
export interface StepList {
  readonly steps: readonly CoreStep[];
  readonly transfers: readonly Transfer[];
}
