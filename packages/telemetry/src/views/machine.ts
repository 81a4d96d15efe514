import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type AttentionForm, type ChipSpec, type ComputeDtype, parseChip } from "@lapidary/simulator";
import { parseTorus } from "@lapidary/topology";
import type { ResolvedJob } from "@lapidary/training";

/** The chips of a job, for the timing of its step. JSON, like everything that decides the view of a program. */
export interface ViewMachine {
  readonly chip: ChipSpec;
  /** Of each pod. */
  readonly slice: readonly number[];
  readonly pods: number;
  readonly compute: ComputeDtype;
  /** Absent: flash. */
  readonly attention?: AttentionForm;
}

/** A pod file of the user may name a chip without a description. Such a chip is timed as a v5e. */
const defaultChip = "v5e";

export function viewMachine(
  {
    pod,
    slice,
    pods,
    numerics,
    attention,
  }: Pick<ResolvedJob, "pod" | "slice" | "pods" | "numerics"> & Partial<Pick<ResolvedJob, "attention">>,
  root: string,
): ViewMachine {
  const path = (name: string): string => join(root, "configs/chips", `${name}.yaml`);
  const name = /^[a-z0-9][\w.-]*$/i.test(pod.chip) && existsSync(path(pod.chip)) ? pod.chip : defaultChip;
  return {
    chip: parseChip(readFileSync(path(name), "utf8"), path(name)),
    slice: parseTorus(slice).dims,
    pods,
    compute: numerics === "f32" ? "f32" : "bf16",
    ...(attention === undefined ? {} : { attention }),
  };
}
