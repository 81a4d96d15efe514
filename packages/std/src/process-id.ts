import { readFileSync, readlinkSync } from "node:fs";

/** A process: its number and start time, because the system reuses numbers. */
export interface ProcessId {
  readonly pid: number;
  /** Empty if the system does not report it. */
  readonly started: string;
  /** The scope of the number: the boot of this machine and the namespace of process numbers (a container has its own). */
  readonly space?: string;
}

/** The scope of the process numbers that this process sees. Host names are not sufficient, because containers of one image share them. Empty if unknown. */
export const processSpace: string = readSpace();

function readSpace(): string {
  try {
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    // Without /proc there is one scope for each machine.
    return "";
  }
}

export const processId = (pid: number): ProcessId => ({ pid, started: statFields(pid)[19] ?? "", space: processSpace });

/** Whether this process can see the given process: both have the same scope. */
export const isOfThisSpace = ({ space }: ProcessId): boolean => space === undefined || space === processSpace;

export const thisProcess = (): ProcessId => processId(process.pid);

/** Whether the given process is visible and runs. */
export const isRunning = (id: ProcessId): boolean =>
  isOfThisSpace(id) && isProcessAlive(id.pid) && processId(id.pid).started === id.started;

/** Whether a process runs. A zombie does not run. */
export function isProcessAlive(pid: number): boolean {
  // Other numbers select process groups, and -1 selects all processes. A process that failed to start has no number.
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
  return !/^[ZX]/.test(statFields(pid)[0] ?? "");
}

/** Sends a signal to the given process if it still runs. */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): void {
  if (!isRunning(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}

/** The fields from the third on: `state parent group …`. */
function statFields(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .trim()
      .split(" ");
  } catch {
    // The system has no /proc, or the process does not exist.
    return [];
  }
}
