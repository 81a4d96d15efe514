import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Account, objectKey, type OutputStore } from "@lapidary/data-store";
import { isSystemError, type JsonValue, LapidaryError } from "@lapidary/std";
import { settingsAs } from "../file/pipeline-file.js";
import type { Plan, StageFile, Task } from "../plan/plan.js";
import type { SettingsOf, StageName } from "../stages/settings.js";
import type { Stage } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";
import { storedObject } from "../view/open-view.js";

/** The object that has the content of a file. */
export const keyOfFile = ({ sha256 }: StageFile): string => objectKey({ code: "file 1", config: null, inputs: [sha256] });

/** The files of all stages of a plan, each content once. */
export const stageFilesOf = ({ tasks }: Plan): readonly StageFile[] => [
  ...new Map(tasks.flatMap(({ files }) => files).map((file) => [file.sha256, file])).values(),
];

/**
 * Stores the files of stages, so that workers need nothing from the disk of the planner.
 *
 * @throws LapidaryError LAP_FILE_…, LAP_DATA_STORE
 */
export async function storeStageFiles(store: OutputStore, files: readonly StageFile[]): Promise<void> {
  for (const file of files)
    await store.write(keyOfFile(file), async function* () {
      yield createReadStream(file.path);
      return new Account().counts(file.path);
    });
}

interface LocalSettings {
  /** The settings of the task with paths of this machine. */
  readonly settings: JsonValue;
  /** The error with the path that the user knows. */
  named(error: unknown): unknown;
}

/**
 * The settings of a task with files that have the content that was planned: the files that they name, or copies from the store if these are absent or differ.
 *
 * @throws LapidaryError LAP_DATA_STORE
 */
export async function localStageFiles(store: OutputStore, { stage, settings, files }: Task, scratch: string): Promise<LocalSettings> {
  const isHere = await Promise.all(files.map(async ({ path, sha256 }) => (await digestOf(path)) === sha256));
  if (isHere.every(Boolean)) return { settings, named: (error) => error };
  const root = join(scratch, "files");
  for (const file of files) {
    const path = join(root, file.path);
    mkdirSync(dirname(path), { recursive: true });
    await pipeline(store.read(await storedObject(store, keyOfFile(file)), 0), createWriteStream(path));
  }
  return {
    settings: relocated(stage, settings, root),
    named: (error) => {
      if (!(error instanceof LapidaryError) || error.location?.startsWith(root) !== true) return error;
      return error.with({ location: error.location.slice(root.length) });
    },
  };
}

const relocated = <Name extends StageName>(name: Name, settings: JsonValue, root: string): JsonValue => {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const located = stage.located?.(settingsAs(name, settings), (path) => join(root, path));
  return located === undefined ? settings : (located as JsonValue);
};

/** Undefined if there is no such file. */
async function digestOf(path: string): Promise<string | undefined> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    return hash.digest("hex");
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}
