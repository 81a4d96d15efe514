import { ensure } from "@lapidary/std";
import { type MemoryPlan, type Program, planMemory } from "@lapidary/compiler";
import { type ValueId, passOf } from "@lapidary/ir";
import type { Fusion } from "../cost/fusion.js";
import { type ComputeDtype, storedBytes } from "../cost/storage.js";

/**
 * The compiler's memory plan with the chip's data types and fusion. An offloaded value has no buffer from its last read in the
 * forward pass to the block before its first read in the backward pass.
 */
export function memoryOfChip(program: Program, fusion: Fusion, compute: ComputeDtype, offloaded: ReadonlySet<ValueId>): MemoryPlan {
  const { chip, schedule } = program;
  const absences = new Map<ValueId, { after: number; reload: number }>();
  if (offloaded.size > 0) {
    const blocks = blockBegins(program);
    schedule.order.forEach((id, step) => {
      const value = ensure(chip.values[id], "value");
      for (const input of value.inputs) {
        if (!offloaded.has(input)) continue;
        const known = absences.get(input);
        if (value.scope.phase === "forward") absences.set(input, { after: step, reload: known?.reload ?? schedule.order.length });
        else if (known === undefined || known.reload === schedule.order.length) {
          const block = blocks.findLastIndex((begin) => begin <= step);
          const after = known?.after ?? schedule.order.indexOf(input);
          absences.set(input, { after, reload: Math.max(after + 1, blocks[Math.max(0, block - 1)] ?? step) });
        }
      }
    });
  }
  return planMemory(chip, schedule, { bytes: (value) => storedBytes(value, compute), fused: fusion.fused, offloaded: absences });
}

/** Values that the policy `offload` stores on the host: projections of the forward pass that the backward pass reads. */
export function offloadedValues({ chip, remat }: Program): Set<ValueId> {
  const found = new Set<ValueId>();
  if (remat !== "offload") return found;
  for (const value of chip.values) {
    if (passOf(value.scope.phase) !== "backward") continue;
    for (const id of value.inputs) {
      const input = ensure(chip.values[id], "operand");
      if (
        input.scope.phase === "forward" &&
        input.op === "dot_general" &&
        input.attrs.batch.length === 0 &&
        input.scope.block !== undefined
      )
        found.add(id);
    }
  }
  return found;
}

/** Steps at which the backward pass of a block begins. */
export function blockBegins({ chip, schedule }: Program): number[] {
  const begins: number[] = [];
  let current: number | undefined;
  schedule.order.forEach((id, step) => {
    const value = ensure(chip.values[id], "value");
    if (passOf(value.scope.phase) !== "backward" || value.role !== undefined || "axes" in value.attrs) return;
    const { block } = value.scope;
    if (block === undefined || block === current) return;
    begins.push(step);
    current = block;
  });
  return begins;
}
