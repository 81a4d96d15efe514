import { bytesPerChip, fusedValues, type Program } from "@lapidary/compiler";
import { bytesOf, collectiveNames, opDef, type OpDef, type OpName, type Value, type ValueId } from "@lapidary/ir";
import { must } from "@lapidary/std";

/** Peak figures of a chip, from its public data sheet. */
export interface ChipPeaks {
  readonly name: string;
  readonly flops_per_s: number;
  readonly hbm_bytes: number;
  readonly hbm_bytes_per_s: number;
  /** Both directions of the links along one torus dim. */
  readonly ici_bytes_per_s: number;
}

export const v5ePeaks: ChipPeaks = { name: "v5e", flops_per_s: 197e12, hbm_bytes: 16e9, hbm_bytes_per_s: 819e9, ici_bytes_per_s: 90e9 };

export interface TimedValue {
  readonly lane: string;
  readonly start_us: number;
  readonly duration_us: number;
  readonly bound: "flops" | "hbm" | "ici";
}

export interface StepTimes {
  readonly values: ReadonlyMap<ValueId, TimedValue>;
  readonly total_us: number;
  readonly exposed_us: number;
  /** When each step of the schedule begins; one entry more for the end. */
  readonly at_us: readonly number[];
  readonly lanes: readonly string[];
}

export const computeLane = "compute";

/**
 * When each op of a scheduled program runs if nothing but the chip's peaks bounds it: an op takes the longer of its arithmetic and its traffic
 * with HBM, a collective the time of its bytes on the links of its axes. No latency, no contention, no tiles: a lower bound, good for
 * seeing order and overlap.
 *
 *     compute   ▇▇▇▇▇▇▇▇▇▇░░▇▇▇▇▇     ░ waits: the collective that it needs is not done
 *     data         ▇▇▇▇▇▇▇▇▇
 */
export function stepTimes({ chip, schedule }: Pick<Program, "chip" | "schedule">, peaks: ChipPeaks): StepTimes {
  const fused = fusedValues(chip);
  const values = new Map<ValueId, TimedValue>();
  const doneAt = new Map<ValueId, number>();
  const laneFree = new Map<string, number>();
  const at: number[] = [];
  let now = 0;
  let exposed = 0;
  const startsAt = new Map<number, ValueId[]>();
  for (const [id, step] of schedule.startBefore) startsAt.set(step, [...(startsAt.get(step) ?? []), id]);
  const begin = (id: ValueId): void => {
    const value = must(chip.values[id], "value");
    const lane = axisOf(value);
    const duration = (bytesPerChip(value, operandOf(chip.values, value)) / peaks.ici_bytes_per_s) * 1e6;
    const start = Math.max(now, laneFree.get(lane) ?? 0);
    laneFree.set(lane, start + duration);
    doneAt.set(id, start + duration);
    values.set(id, { lane, start_us: start, duration_us: duration, bound: "ici" });
  };
  schedule.order.forEach((id, step) => {
    at.push(now);
    for (const started of startsAt.get(step) ?? []) begin(started);
    const value = must(chip.values[id], "value");
    const done = doneAt.get(id);
    if (done !== undefined) {
      exposed += Math.max(0, done - now);
      now = Math.max(now, done);
      return;
    }
    if (fused[id] === true || value.op === "reshape" || collectiveNames.has(value.op)) return;
    const inputs = value.inputs.map((input) => must(chip.values[input], "operand"));
    const flops_us = (flopsOf(value, inputs) / peaks.flops_per_s) * 1e6;
    const hbm_us = ((bytesOf(value.type) + inputs.reduce((sum, { id: input, type }) => sum + (fused[input] === true ? 0 : bytesOf(type)), 0)) / peaks.hbm_bytes_per_s) * 1e6;
    const duration = Math.max(flops_us, hbm_us);
    values.set(id, { lane: computeLane, start_us: now, duration_us: duration, bound: flops_us >= hbm_us ? "flops" : "hbm" });
    now += duration;
  });
  const end = Math.max(now, ...laneFree.values());
  at.push(end);
  const busy = [...laneFree.keys()].sort((a, b) => a.split("+").length - b.split("+").length || a.localeCompare(b));
  return { values, total_us: end, exposed_us: exposed, at_us: at, lanes: [computeLane, ...busy] };
}

export const axisOf = (value: Value): string => ("axes" in value.attrs ? value.attrs.axes.join("+") : "");

/** A multiply-add is two. */
export function flopsOf(value: Value, inputs: readonly Value[]): number {
  const def = opDef(value.op) as unknown as OpDef<OpName>;
  return def.flops(
    inputs.map(({ type }) => type),
    value.type,
    value.attrs,
  );
}

export const operandOf = (values: readonly Value[], value: Value): Value => must(values[must(value.inputs[0], "operand")], "operand");
