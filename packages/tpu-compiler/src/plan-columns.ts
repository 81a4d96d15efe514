import { planReport, type Simulation } from "@lapidary/simulator";
import { ensure } from "@lapidary/std";
import { labelOf } from "./labels.js";

/** What the plan of Lapidary says about one chip, next to which the figures of the compiler are printed. */
export interface PlanColumns {
  /** The memory that programs can use. */
  readonly hbm_limit: number;
  readonly hbm_bytes_peak: number;
  /** With the types in which a chip sends them. */
  readonly collectives: readonly { readonly op: string; readonly axis: string; readonly bytes_per_chip: number }[];
  /** By label. Collectives are left out, as the compiler leaves them out of its estimate. */
  readonly cycles: readonly { readonly name: string; readonly phase: string; readonly cycles: number }[];
  /** The largest values in memory at the peak, largest first. */
  readonly largest: readonly { readonly bytes: number; readonly name: string; readonly shape: string }[];
}

const largestCount = 5;

export function planColumns(simulation: Simulation): PlanColumns {
  const report = planReport(simulation);
  return {
    hbm_limit: report.hbm_limit,
    hbm_bytes_peak: report.hbm_bytes.peak,
    collectives: report.collectives.map(({ op, axis, sent_bytes_per_chip }) => ({ op, axis, bytes_per_chip: sent_bytes_per_chip })),
    cycles: cyclesOf(simulation),
    largest: largestAtPeak(simulation),
  };
}

function largestAtPeak({ program: { chip }, memory: { buffers, peakStep } }: Simulation): PlanColumns["largest"] {
  return buffers
    .filter(({ from, to }) => from <= peakStep && peakStep <= to)
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, largestCount)
    .map(({ value, bytes }) => {
      const { name, type } = ensure(chip.values[value], "value");
      return { bytes, name: `${name}#${value}`, shape: `${type.dtype}[${type.dims.join(",")}]` };
    });
}

function cyclesOf({ machine, timeline }: Simulation): PlanColumns["cycles"] {
  const hertz = machine.chip.clock_hz;
  if (hertz === undefined) return [];
  const sums = new Map<string, { name: string; phase: string; cycles: number }>();
  for (const { kernel, from, to } of timeline.kernels) {
    const [name, phase] = labelOf(kernel);
    const sum = sums.get(`${phase} ${name}`) ?? { name, phase, cycles: 0 };
    sum.cycles += (to - from) * hertz;
    sums.set(`${phase} ${name}`, sum);
  }
  return [...sums.values()].map((row) => ({ ...row, cycles: Math.round(row.cycles) }));
}
