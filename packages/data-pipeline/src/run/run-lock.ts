import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, LapidaryError, systemError } from "@lapidary/std";
import { isRunning, type ProcessId, thisProcess } from "@lapidary/std/process-id";

/**
 * Makes this process the only one that runs a pipeline. The lock of a process that was killed is taken over.
 *
 * @returns releases the lock
 * @throws LapidaryError LAP_DATA_BUSY, LAP_FILE_…
 */
export function lockRun(out: string): () => void {
  const path = join(out, "run.lock");
  try {
    mkdirSync(out, { recursive: true });
    const holder = holderOf(path);
    if (holder !== undefined && isRunning(holder)) throw busy(out, holder);
    rmSync(path, { force: true });
    const file = openSync(path, "wx");
    writeSync(file, JSON.stringify(thisProcess()));
    closeSync(file);
  } catch (error) {
    if (isSystemError(error) && error.code === "EEXIST") throw busy(out, holderOf(path));
    throw isSystemError(error) ? systemError(error, { doing: "write the output of a pipeline", place: out }) : error;
  }
  return () => rmSync(path, { force: true });
}

function holderOf(path: string): ProcessId | undefined {
  try {
    const holder = JSON.parse(readFileSync(path, "utf8")) as Partial<ProcessId>;
    return typeof holder.pid === "number" && typeof holder.started === "string"
      ? { ...holder, pid: holder.pid, started: holder.started }
      : undefined;
  } catch (error) {
    if (isSystemError(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const busy = (out: string, holder: ProcessId | undefined): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_BUSY", message: `process ${holder?.pid ?? "?"} runs a pipeline with this output`, location: out });

/** The process that runs a pipeline now; undefined if none does. */
export function runningProcess(out: string): number | undefined {
  const holder = holderOf(join(out, "run.lock"));
  return holder !== undefined && isRunning(holder) ? holder.pid : undefined;
}
