import { existsSync } from "node:fs";
import { join } from "node:path";

/** The resolved job of a new run, as a job file in JSON. */
export const newJobFilePath = (runDirectory: string): string => join(runDirectory, "job.json");

/** The path of the job file of a run. Earlier versions wrote YAML. The command line reads both, because JSON is also YAML. */
export function jobFilePath(runDirectory: string): string {
  const earlier = join(runDirectory, "job.yaml");
  return existsSync(newJobFilePath(runDirectory)) || !existsSync(earlier) ? newJobFilePath(runDirectory) : earlier;
}
