import { readFileSync } from "node:fs";

/** A process: its number, and when it began, for the number is given to another one day. */
export interface ProcessId {
  readonly pid: number;
  /** Empty where the system does not tell. */
  readonly started: string;
}

export const processId = (pid: number): ProcessId => ({ pid, started: statFields(pid)[19] ?? "" });

export const thisProcess = (): ProcessId => processId(process.pid);

/** Whether this very process runs. */
export const isRunning = (id: ProcessId): boolean => isProcessAlive(id.pid) && processId(id.pid).started === id.started;

/** Whether a process runs; one that ended and was not yet reaped does not. */
export function isProcessAlive(pid: number): boolean {
  // Other numbers mean groups of processes, and -1 all of them: a process that could not be started has none.
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
  return !/^[ZX]/.test(statFields(pid)[0] ?? "");
}

/** Sends a signal to this very process, if it still runs. */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): void {
  if (!isRunning(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}

/** From the third on: `state parent group …`. */
function statFields(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .trim()
      .split(" ");
  } catch {
    // No /proc here, or no such process.
    return [];
  }
}
