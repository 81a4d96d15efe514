/**
 * Waits until the machine has done what the last burst left behind. A process that gives back gigabytes (each of JAX's steps on 256 devices does) makes the kernel
 * work for a second or more after the step has ended, in a virtual machine also by telling its host of each page (free page reporting); none of it is counted for a
 * process, and it would be measured as a slower step of the other side.
 */
import { readFileSync } from "node:fs";

const tick_ms = 250;
/** A machine on which others work is never quiet: then it is measured as it is. */
const patience_ms = 8000;
/** Jiffies a second, in what Linux tells. */
const jiffies = 100;
/** Share of all cores that may be busy. */
const quiet = 0.03;

/** @returns {Promise<boolean>} whether the machine has become quiet */
export async function untilQuiet() {
  let before = times();
  if (before === undefined) return true;
  for (let waited = 0; waited < patience_ms; waited += tick_ms) {
    await new Promise((resolve) => setTimeout(resolve, tick_ms));
    const now = times();
    if (now === undefined || (now.busy - before.busy) / Math.max(1, now.all - before.all) <= quiet) return true;
    before = now;
  }
  return false;
}

/** Jiffies of all cores since the start of the machine; undefined where there is no /proc. */
function times() {
  try {
    const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, stolen = 0] = (
      readFileSync("/proc/stat", "utf8").split("\n")[0] ?? ""
    )
      .split(/\s+/)
      .slice(1)
      .map(Number);
    const busy = user + nice + system + irq + softirq;
    return { busy, all: busy + idle + iowait, stolen };
  } catch {
    return undefined;
  }
}

/**
 * Processor time of this virtual machine that its host took, seconds since its start: for other machines, and for what it does in this one's name (a virtual disk
 * copies every block by the host's processor). 0 where there is no /proc.
 */
export const stolen_s = () => (times()?.stolen ?? 0) / jiffies;
