/**
 * Waits until the machine is idle after a burst. If a process frees gigabytes, as each step of JAX on 256 devices does, the kernel works for a second or more
 * after the step. In a virtual machine it also reports each page to the host (free page reporting). No process is charged for this work, so without the wait it
 * would slow down the next step of the other side.
 */
import { readFileSync } from "node:fs";

const tick_ms = 250;
/** A machine that others use is never idle. After this time the measurement starts anyway. */
const timeout_ms = 8000;
/** Unit of /proc/stat: jiffies a second. */
const jiffiesPerSecond = 100;
/** Maximum busy fraction of all cores on an idle machine. */
const idleLimit = 0.03;

/** @returns {Promise<boolean>} whether the machine became idle */
export async function waitForIdle() {
  let before = times();
  if (before === undefined) return true;
  for (let waited = 0; waited < timeout_ms; waited += tick_ms) {
    await new Promise((resolve) => setTimeout(resolve, tick_ms));
    const now = times();
    if (now === undefined || (now.busy - before.busy) / Math.max(1, now.all - before.all) <= idleLimit) return true;
    before = now;
  }
  return false;
}

/** Jiffies of all cores since the start of the machine; undefined if there is no /proc. */
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
 * Processor time that the host of this virtual machine took, in seconds since the start: for other machines, and for work on behalf of this one (a virtual disk
 * copies blocks with the processor of the host). 0 if there is no /proc.
 */
export const stolen_s = () => (times()?.stolen ?? 0) / jiffiesPerSecond;
