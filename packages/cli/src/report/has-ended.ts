import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Whether the run in a directory has ended, as its summary says: nothing more will come of it. */
export function hasEnded(directory: string): boolean {
  const path = join(directory, "summary.json");
  return existsSync(path) && /"finished_at":/.test(readFileSync(path, "utf8"));
}
