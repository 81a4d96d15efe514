import { ensure } from "@lapidary/std";
import { type Program, bytesPerChip } from "@lapidary/compiler";
import { type Value, type ValueId, regionsOf } from "@lapidary/ir";
import type { KernelCost } from "../cost/kernel-cost.js";
import type { Placement } from "../network/placement.js";
import { atomsOf, type CollectiveValue, collectiveStages, hostStage, isCollective } from "../network/transfer.js";
import { blockBegins } from "../result/memory-of-chip.js";
import type { CoreStep, StepList, Transfer, TransferId } from "./step-list.js";

export interface StepOptions {
  readonly placement: Placement;
  /** Bytes of a value on links. */
  readonly sent: (value: Value) => number;
  /** Values of the forward pass that the host stores until the backward pass reads them. */
  readonly offloaded: ReadonlySet<ValueId>;
  /** By value, the position of the kernel that writes it. */
  readonly writtenAt: ReadonlyMap<ValueId, ValueId>;
}

/**
 * The steps of a core in the order of the schedule. A collective is started at its `startBefore` and waited for at its position. A
 * kernel runs at the position of its last value. The steps of a region are repeated for each iteration. An offloaded value is copied to the host as soon as it is computed, and is
 * reloaded one block before its first use in the backward pass.
 */
export function makeSteps(
  program: Program,
  kernels: readonly KernelCost[],
  { placement, sent, offloaded, writtenAt }: StepOptions,
): StepList {
  const { chip, schedule } = program;
  const at = (id: ValueId): Value => ensure(chip.values[id], "value");
  const kernelAt = new Map(kernels.map((kernel) => [kernel.at, kernel]));
  const transfers: Transfer[] = [];
  const collectives = new Map<ValueId, TransferId>();
  const startsAt = new Map<number, TransferId[]>();
  const startAt = (index: number, id: TransferId): void => void startsAt.set(index, [...(startsAt.get(index) ?? []), id]);

  schedule.order.forEach((id, index) => {
    const value = at(id);
    if (!isCollective(value)) return;
    const transfer = transferOf(program, value, { id: transfers.length, placement, sent });
    transfers.push(transfer);
    collectives.set(id, transfer.id);
    startAt(schedule.startBefore.get(id) ?? index, transfer.id);
  });

  const reloads = new Map<number, TransferId[]>();
  const offloads = new Map<ValueId, TransferId[]>();
  if (offloaded.size > 0) placeHostCopies();

  const steps: CoreStep[] = [];
  const stepsOf = (id: ValueId, index: number): void => {
    for (const transfer of startsAt.get(index) ?? []) steps.push({ kind: "start", transfer });
    for (const transfer of reloads.get(index) ?? []) steps.push({ kind: "done", transfer });
    const collective = collectives.get(id);
    if (collective !== undefined) steps.push({ kind: "done", transfer: collective });
    const kernel = kernelAt.get(id);
    if (kernel !== undefined) steps.push({ kind: "run", kernel });
    for (const transfer of offloads.get(id) ?? []) steps.push({ kind: "start", transfer });
  };
  const loops = new Map(regionsOf(chip).map((region) => [region.last, region]));
  const begins = new Map<ValueId, number>();
  schedule.order.forEach((id, index) => {
    begins.set(id, steps.length);
    stepsOf(id, index);
    const region = loops.get(id);
    if (region === undefined) return;
    const body = steps.slice(ensure(begins.get(region.first), "begin"));
    // A carry is written in the first iteration only.
    const again = body.filter((step) => step.kind !== "run" || at(step.kernel.at).op !== "carry");
    for (let iteration = 1; iteration < region.count; iteration++) steps.push(...withOwnTransfers(again, transfers));
  });
  return { steps, transfers };

  function placeHostCopies(): void {
    const order = schedule.order.map(at);
    const firstUse = new Map<ValueId, number>();
    order.forEach((value, index) => {
      if (value.scope.phase !== "forward")
        for (const id of value.inputs) if (offloaded.has(id) && !firstUse.has(id)) firstUse.set(id, index);
    });
    const starts = blockBegins(program);
    const copy = (op: string, value: Value, resource: "to_host" | "from_host", after?: TransferId): TransferId => {
      const bytes = sent(value);
      transfers.push({
        id: transfers.length,
        op,
        axis: "host",
        name: value.name,
        why: `the host stores ${value.name} between the forward and the backward pass`,
        atoms: [],
        stages: [hostStage(placement, resource, bytes)],
        programBytes: bytes,
        ...(after === undefined ? {} : { after }),
      });
      return transfers.length - 1;
    };
    for (const [id, use] of firstUse) {
      const out = copy("offload", at(id), "to_host");
      offloads.set(writtenAt.get(id) ?? id, [...(offloads.get(writtenAt.get(id) ?? id) ?? []), out]);
      const back = copy("reload", at(id), "from_host", out);
      const block = starts.findLastIndex((start) => start <= use);
      startAt(starts[Math.max(0, block - 1)] ?? use, back);
      reloads.set(use, [...(reloads.get(use) ?? []), back]);
    }
  }
}

/** The steps of another iteration, with transfers of their own, which are appended to `transfers`. */
function withOwnTransfers(body: readonly CoreStep[], transfers: Transfer[]): CoreStep[] {
  const copies = new Map<TransferId, TransferId>();
  for (const step of body) {
    if (step.kind !== "start" || copies.has(step.transfer)) continue;
    const { after, ...transfer } = ensure(transfers[step.transfer], "transfer");
    const own = transfers.length;
    copies.set(step.transfer, own);
    transfers.push({ ...transfer, id: own, ...(after === undefined ? {} : { after: copies.get(after) ?? after }) });
  }
  return body.map((step) => (step.kind === "run" ? step : { ...step, transfer: copies.get(step.transfer) ?? step.transfer }));
}

/** The transfer of a collective. */
function transferOf(
  { chip }: Pick<Program, "chip">,
  value: CollectiveValue,
  { id, placement, sent }: Pick<StepOptions, "placement" | "sent"> & { readonly id: TransferId },
): Transfer {
  return {
    id,
    op: value.op,
    axis: value.attrs.axes.join("+"),
    name: value.name,
    why: value.cause ?? "",
    atoms: atomsOf(placement, value),
    stages: collectiveStages(placement, chip, value, sent),
    programBytes: bytesPerChip(value, ensure(chip.values[ensure(value.inputs[0], "operand")], "operand")),
  };
}
