/**
 * Processor time of a tree of processes. Unlike the time by the clock, it does not depend on what else the machine runs, so the
 * figures of two runs can be compared.
 */
import { readdirSync, readFileSync } from "node:fs";

/** Linux reports processor time to programs in ticks of 10 ms on every architecture (`USER_HZ`, proc_pid_stat(5)). */
const ticksPerSecond = 100;

/**
 * Seconds, user and system, of a process and of all its descendants: those that run, and those that their parent has waited for.
 * A process whose parent ended before it is not counted. Without /proc, only the calling process is counted.
 * @param {number} [pid]
 * @returns {number}
 */
export function processorSeconds(pid = process.pid) {
  try {
    return treeTicks(pid) / ticksPerSecond;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }
}

/** @param {number} pid */
function treeTicks(pid) {
  // pid (name) state parent group …; the name may contain blanks and brackets. The times are fields 14 to 17.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  let ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  for (const child of childrenOf(pid)) {
    try {
      ticks += treeTicks(child);
    } catch {
      // The child ended in the meantime.
    }
  }
  return ticks;
}

/** The children of every thread of a process. @param {number} pid */
function childrenOf(pid) {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).flatMap((task) => readFileSync(`${tasks}/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number));
}
