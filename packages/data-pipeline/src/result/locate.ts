import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { isSystemError, LapidaryError, replaceFile } from "@lapidary/std";
import { readPipeline } from "../file/pipeline-file.js";

const lastFile = "data-run.json";

/** Remembers the output of the pipeline that ran last, for commands that name none. */
export function rememberRun(home: string, out: string): void {
  mkdirSync(home, { recursive: true });
  replaceFile(join(home, lastFile), `${JSON.stringify({ out })}\n`);
}

/**
 * The output directory of a pipeline.
 *
 * @param named a pipeline file or an output directory; undefined: the pipeline that ran last
 * @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_PIPELINE, LAP_FILE_…
 */
export function outputDirectory(named: string | undefined, { cwd, home }: { readonly cwd: string; readonly home: string }): string {
  if (named === undefined) return lastOutput(home);
  const path = resolve(cwd, named);
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? path : readPipeline(path).out;
}

function lastOutput(home: string): string {
  const path = join(home, lastFile);
  try {
    const { out } = JSON.parse(readFileSync(path, "utf8")) as { readonly out?: unknown };
    if (typeof out === "string") return out;
  } catch (error) {
    if (!isSystemError(error) && !(error instanceof SyntaxError)) throw error;
  }
  throw new LapidaryError({
    code: "LAP_DATA_NO_RESULT",
    message: "no pipeline ran here",
    location: path,
    remedy: "name a pipeline file or its output directory by --data",
  });
}
