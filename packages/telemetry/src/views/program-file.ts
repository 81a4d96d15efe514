import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFile } from "@lapidary/std";
import type { ProgramView } from "@lapidary/api/program-view";

/** The view of a run's train step, in the run's directory. */
export const programFile = (directory: string): string => join(directory, "program.json");

export function writeProgramView(directory: string, view: ProgramView): void {
  replaceFile(programFile(directory), JSON.stringify(view));
}

/** Undefined until it is compiled. */
export function readProgramView(directory: string): ProgramView | undefined {
  const path = programFile(directory);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as ProgramView) : undefined;
}
