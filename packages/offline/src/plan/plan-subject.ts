import { calibrationWarning, type Machine } from "@lapidary/simulator";
import type { Warning } from "@lapidary/std";
import { type ResolvedJob, shardingFindings } from "@lapidary/training";
import { machineOf } from "./plan-job.js";

/** A job, the machine on which its step is timed, and the findings about its shardings. */
export interface PlanSubject {
  readonly job: ResolvedJob;
  readonly machine: Machine;
  /** The job with more overrides. */
  readonly read: (overrides: readonly string[]) => ResolvedJob;
  readonly warnings: readonly Warning[];
  /** Whether the warnings say that chips of the job compute the same. */
  readonly repeats: boolean;
  /** Overrides that let such chips share the work. */
  readonly fixes: readonly string[];
}

/** @param chip a chip of `configs/chips` instead of the chip of the pod */
export function planSubject({ job, read }: Pick<PlanSubject, "job" | "read">, root: string, chip: string | undefined): PlanSubject {
  const machine = machineOf(job, root, chip);
  const findings = shardingFindings(job);
  const repeats = findings.map(({ warning }) => warning);
  const uncalibrated = calibrationWarning(machine.chip);
  return {
    job,
    machine,
    read,
    warnings: uncalibrated === undefined ? repeats : [...repeats, uncalibrated],
    repeats: repeats.length > 0,
    fixes: findings.flatMap(({ fixes }) => fixes.slice(0, 1)),
  };
}
