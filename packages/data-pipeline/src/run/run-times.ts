import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, replaceFile } from "@lapidary/std";
import { z } from "zod";

const name = "progress.json";
const amount = z.number().nonnegative();

const task = z.object({
  stage: z.string(),
  /** Of the shard, or of a partition of all shards. */
  shard: z.string(),
  ms: amount,
  /** UTF-8 bytes of the texts that came in. */
  bytes: amount,
});

const runTimes = z.object({
  started_at: amount,
  updated_at: amount,
  stages: z.array(
    z.object({
      stage: z.string(),
      /** Tasks of this run and of earlier ones. */
      done: amount,
      total: amount,
      /** UTF-8 bytes of the texts that came in, and the time of the processes, in this run. */
      bytes: amount,
      busy_ms: amount,
      slowest: task.optional(),
    }),
  ),
  /** Tasks that processes compute now; `ms` is the time since their start. */
  running: z.array(task.omit({ bytes: true })),
});

/** The times of the run that computed last, which `progress.json` has while it runs and afterwards. */
export type RunTimes = Readonly<z.infer<typeof runTimes>>;
export type TaskTime = Readonly<z.infer<typeof task>>;

/** A full disk does not end a run because of its times. */
export function writeRunTimes(out: string, times: RunTimes): void {
  try {
    replaceFile(join(out, name), `${JSON.stringify(times)}\n`);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}

/** Undefined before the first run, and if another version wrote the file. */
export function readRunTimes(out: string): RunTimes | undefined {
  try {
    return runTimes.safeParse(JSON.parse(readFileSync(join(out, name), "utf8"))).data;
  } catch (error) {
    if (isSystemError(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
