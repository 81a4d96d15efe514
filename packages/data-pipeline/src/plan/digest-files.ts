import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { ensure, isSystemError, systemError } from "@lapidary/std";
import type { Pipeline } from "../file/pipeline-file.js";
import { settingsAs } from "../file/pipeline-file.js";
import type { SettingsOf, StageName } from "../stages/settings.js";
import type { Stage } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";

/** SHA-256 of a file that a stage names, by its absolute path. */
export type FileDigests = (path: string) => string;

/** @throws LapidaryError LAP_FILE_…, and those of files that a stage cannot use */
export function digestFiles(pipeline: Pipeline): FileDigests {
  const digests = new Map(pipeline.stages.flatMap(({ stage, settings }) => filesOf(stage, settings)).map((path) => [path, digestOf(path)]));
  return (path) => ensure(digests.get(path), path);
}

const filesOf = <Name extends StageName>(name: Name, settings: Pipeline["stages"][number]["settings"]): readonly string[] => {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  stage.check?.(settingsAs(name, settings));
  return stage.files?.(settingsAs(name, settings)) ?? [];
};

function digestOf(path: string): string {
  try {
    return createHash("sha256").update(readFileSync(path)).digest("hex");
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read a file of a stage", place: path }) : error;
  }
}
