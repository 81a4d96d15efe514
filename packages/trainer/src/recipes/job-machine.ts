import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { type ComputeDtype, type Machine, parseChip } from "@lapidary/simulator";
import { LapidaryError, suggest } from "@lapidary/std";
import { parseTorus } from "@lapidary/topology";
import type { ResolvedJob } from "@lapidary/training";

/** The machine of a job, with the chip of its pod or with another chip of `configs/chips`. @throws LAP_CHIP_UNKNOWN */
export function machineOf(
  { pod, pods, slice }: Pick<ResolvedJob, "pods" | "slice"> & { readonly pod: Pick<ResolvedJob["pod"], "chip"> },
  root: string,
  chip = pod.chip,
): Machine {
  return { chip: readChip(root, chip), pods, torus: parseTorus(slice) };
}

function readChip(root: string, name: string): Machine["chip"] {
  const directory = join(root, "configs/chips");
  const file = join(directory, `${name}.yaml`);
  if (/^[a-z0-9][\w.-]*$/i.test(name) && existsSync(file)) return parseChip(readFileSync(file, "utf8"), file);
  const known = readdirSync(directory).map((each) => basename(each, ".yaml"));
  const near = suggest(name, known);
  throw new LapidaryError({
    code: "LAP_CHIP_UNKNOWN",
    message: `there is no chip "${name}"`,
    location: "chip",
    remedy:
      near === undefined ? `chips are ${known.sort().join(", ")}; a file in configs/chips describes another` : `did you mean "${near}"?`,
  });
}

/** The dtype of matmuls on a chip. */
export const computeOf = ({ numerics }: Pick<ResolvedJob, "numerics">): ComputeDtype => (numerics === "mxu" ? "bf16" : "f32");
