import type { Program } from "@lapidary/compiler";
import type { ValueId } from "@lapidary/ir";
import { isCollective, type Simulation, simulate } from "@lapidary/simulator";
import { ensure } from "@lapidary/std";
import type { ViewMachine } from "./machine.js";

interface TimedValue {
  readonly lane: string;
  readonly start_us: number;
  readonly duration_us: number;
  /** `matrix`, `vector` or `hbm` for a kernel; `links` for a transfer. */
  readonly bound: string;
}

export interface StepTimes {
  readonly simulation: Simulation;
  readonly values: ReadonlyMap<ValueId, TimedValue>;
  readonly total_us: number;
  /** Time in which the core waits for transfers. */
  readonly exposed_us: number;
  /** The time of each position of the schedule, and one entry more for the end. */
  readonly at_us: readonly number[];
  /** The same for the steps of the memory plan, whose order may differ. */
  readonly memory_at_us: readonly number[];
  /** In drawing order. */
  readonly lanes: readonly string[];
}

const computeLane = "compute";

/** The time of each value of a step in the simulator: a kernel at its last value, a collective on the lane of its axes. */
export function stepTimes(program: Program, { chip, slice, pods, compute, attention = "flash" }: ViewMachine): StepTimes {
  const simulation = simulate(program, { chip, pods, torus: { dims: slice } }, { compute, attention });
  const { timeline, list, kernels } = simulation;
  const micros = (seconds: number): number => seconds * 1e6;
  const values = new Map<ValueId, TimedValue>();
  timeline.kernels.forEach(({ kernel, from, to }) =>
    values.set(kernel.at, { lane: computeLane, start_us: micros(from), duration_us: micros(to - from), bound: kernel.limit }),
  );
  // The simulator numbers transfers in the order of the schedule, copies to the host after those of the program.
  const collectives = program.schedule.order.filter((id) => isCollective(ensure(program.chip.values[id], "value")));
  const lanes = new Set<string>();
  for (const { transfer, stages } of timeline.transfers) {
    const id = collectives[transfer];
    const [first, last] = [stages[0], stages.at(-1)];
    if (id === undefined || first === undefined || last === undefined) continue;
    const { axis } = ensure(list.transfers[transfer], "transfer");
    lanes.add(axis);
    values.set(id, { lane: axis, start_us: micros(first.from), duration_us: micros(last.to - first.from), bound: "links" });
  }
  const total_us = micros(timeline.seconds);
  const kernelPlaces = new Set(kernels.map(({ at }) => at));
  let now = 0;
  const at_us = program.schedule.order.map((id) => {
    const time = values.get(id);
    if (time === undefined) return now;
    const begin = kernelPlaces.has(id) ? time.start_us : now;
    now = Math.max(now, time.start_us + time.duration_us);
    return begin;
  });
  const timeOf = new Map(program.schedule.order.map((id, i) => [id, at_us[i] ?? 0]));
  let latest = 0;
  const memory_at_us = simulation.memoryOrder.map((id) => {
    latest = Math.max(latest, timeOf.get(id) ?? 0);
    return latest;
  });
  return {
    simulation,
    values,
    total_us,
    exposed_us: micros(timeline.waits.reduce((sum, { from, to }) => sum + to - from, 0)),
    at_us: [...at_us, total_us],
    memory_at_us: [...memory_at_us, total_us],
    lanes: [computeLane, ...[...lanes].sort((a, b) => a.split("+").length - b.split("+").length || a.localeCompare(b))],
  };
}
