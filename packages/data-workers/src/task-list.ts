import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Plan, Task } from "@lapidary/data-pipeline";
import { isSystemError, replaceFile, systemError } from "@lapidary/std";

/** What a job of the queue has: where its task is. */
export interface TaskPointer {
  /** The output directory of the pipeline, at the same path on all hosts. */
  readonly out: string;
  /** The digest of the list of tasks. */
  readonly list: string;
}

const directoryOf = (out: string): string => join(out, "tasks");
const pathOf = ({ out, list }: TaskPointer): string => join(directoryOf(out), `${list}.jsonl`);

/**
 * Writes the tasks of a plan next to its outputs, and removes the lists of earlier plans. A task can name many inputs, and Redis is memory.
 *
 * @throws LapidaryError LAP_FILE_…
 */
export function writeTaskList(out: string, { tasks }: Plan): TaskPointer {
  const text = tasks.map((task) => `${JSON.stringify(task)}\n`).join("");
  const pointer = { out, list: createHash("sha256").update(text).digest("hex").slice(0, 32) };
  try {
    mkdirSync(directoryOf(out), { recursive: true });
    replaceFile(pathOf(pointer), text);
    for (const file of readdirSync(directoryOf(out)))
      if (file !== `${pointer.list}.jsonl`) rmSync(join(directoryOf(out), file), { force: true });
    return pointer;
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "write the tasks of a pipeline", place: directoryOf(out) }) : error;
  }
}

/** The tasks of a list by key; undefined if a later plan replaced the list. */
export function readTaskList(pointer: TaskPointer): ReadonlyMap<string, Task> | undefined {
  try {
    const lines = readFileSync(pathOf(pointer), "utf8").split("\n").slice(0, -1);
    return new Map(lines.map((line) => JSON.parse(line) as Task).map((task) => [task.key, task]));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === "ENOENT") return undefined;
    throw systemError(error, { doing: "read the tasks of a pipeline", place: pathOf(pointer) });
  }
}
