import { readFileSync } from "node:fs";
import type { Warning } from "@lapidary/std";

/** Node reserves this much of the address space for the WebAssembly module that reads HTTP, and more for the heap of a process. */
const leastAddressSpace_bytes = 12e9;
/** A command loads hundreds of modules at the same time. */
const leastOpenFiles = 256;

/** Warnings of shell limits under which Node fails during a command. Empty if the system does not list its limits. */
export function limitWarnings(limits: string = ownLimits()): readonly Warning[] {
  const addressSpace = softLimit(limits, "Max address space");
  const openFiles = softLimit(limits, "Max open files");
  return [
    ...(addressSpace < leastAddressSpace_bytes
      ? [
          {
            code: "LAP_LIMIT_ADDRESS_SPACE" as const,
            message: `this shell limits the address space of a process to ${(addressSpace / 1e9).toFixed(1)} GB; Node reserves up to ${leastAddressSpace_bytes / 1e9} GB and may end with "Out of memory"`,
            place: "ulimit -v",
            remedy: "run `ulimit -v unlimited` first; limit the memory itself by a cgroup or the job scheduler",
          },
        ]
      : []),
    ...(openFiles < leastOpenFiles
      ? [
          {
            code: "LAP_LIMIT_OPEN_FILES" as const,
            message: `this shell lets a process open only ${openFiles} files; Lapidary needs ${leastOpenFiles}`,
            place: "ulimit -n",
            remedy: "run `ulimit -n 4096` first",
          },
        ]
      : []),
  ];
}

function ownLimits(): string {
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch {
    // No /proc here (macOS).
    return "";
  }
}

/** @param name as `/proc/PID/limits` has it; the soft limit is the first number after it */
function softLimit(limits: string, name: string): number {
  const found = new RegExp(`^${name}\\s+(\\d+)`, "m").exec(limits)?.[1];
  return found === undefined ? Number.POSITIVE_INFINITY : Number(found);
}
