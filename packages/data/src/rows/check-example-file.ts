import { accessSync, constants, statSync } from "node:fs";
import { unreadable } from "@lapidary/readers";
import { missingCorpus } from "../data-errors.js";
import { noExamples } from "../examples/example-errors.js";
import { formatNamed } from "../examples/read-examples.js";

/**
 * Checks a file of examples without its rows.
 *
 * @throws LapidaryError `LAP_DATA_MISSING`, `LAP_DATA_UNREADABLE`, `LAP_EXAMPLE_NONE`, `LAP_EXAMPLE_FORMAT`
 */
export function checkExampleFile(path: string, format: string | undefined): void {
  if (format !== undefined) formatNamed(format);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw missingCorpus(path, undefined);
  if (!stats.isFile()) throw unreadable(path, new Error("it is not a file"));
  try {
    accessSync(path, constants.R_OK);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  if (stats.size === 0) throw noExamples(path, undefined);
}
