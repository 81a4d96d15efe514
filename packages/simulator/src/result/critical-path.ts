import { ensure } from "@lapidary/std";
import type { Resource } from "../network/transfer.js";
import type { Timeline, TransferSpan } from "../timeline/run-timeline.js";
import type { StepList } from "../timeline/step-list.js";

/** A piece of the critical path of the step. */
export interface CriticalPiece {
  readonly kind: "kernel" | "transfer";
  readonly name: string;
  /** The limit of a kernel, or the first resource of a stage of a transfer. */
  readonly on: "matrix" | "vector" | "hbm" | Resource;
  readonly from: number;
  readonly to: number;
}

/**
 * The path is found from the end of the step. Before a kernel, it contains the previous work of the core. While the core waits, it
 * contains the transfer, and before the transfer the core at the time of the issue. Pieces are in order and do not overlap.
 * Together they are as long as the step.
 */
export function criticalPath({ kernels, waits, transfers }: Timeline, list: StepList): CriticalPiece[] {
  const core = [
    ...kernels.map((span) => ({ ...span, transfer: undefined })),
    ...waits.map((span) => ({ ...span, kernel: undefined })),
  ].sort((a, b) => a.from - b.from || a.to - b.to);
  const spans = new Map(transfers.map((span) => [span.transfer, span]));
  const pieces: CriticalPiece[] = [];
  let until = Infinity;
  for (let i = core.length - 1; i >= 0; i--) {
    const span = ensure(core[i], "span");
    if (span.from >= until) continue;
    const to = Math.min(span.to, until);
    if (span.kernel !== undefined) {
      pieces.push({ kind: "kernel", name: span.kernel.name, on: span.kernel.limit, from: span.from, to });
      until = span.from;
    } else {
      follow(ensure(spans.get(ensure(span.transfer, "transfer")), "transfer"));
    }
  }
  return pieces.reverse();

  /** Adds the stages of a transfer, and before them the transfer that it waited for, if there is one. Otherwise the path goes on at the issue. */
  function follow({ transfer: id, issued, stages }: TransferSpan): void {
    const { name, after } = ensure(list.transfers[id], "transfer");
    for (const { stage, from, to } of [...stages].reverse()) {
      if (from >= until) continue;
      pieces.push({ kind: "transfer", name, on: ensure(stage.resources[0], "resource"), from, to: Math.min(to, until) });
      until = from;
    }
    const before = after === undefined ? undefined : ensure(spans.get(after), "transfer");
    if (before !== undefined && (before.stages.at(-1)?.to ?? 0) > issued) follow(before);
    else until = Math.min(until, issued);
  }
}
