import { resolve } from "node:path";
import { trainTextClassifier } from "@lapidary/offline/data-classifier";
import { counted, ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { checkOutput, type Output, writeOutputFile } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface DataClassifierOptions {
  readonly files: readonly string[];
  readonly output: string;
  readonly precision: number | undefined;
  readonly seed: number | undefined;
}

/** `lapidary data classifier FILE` trains a classifier of unsafe texts from labelled rows. */
export async function trainDataClassifier({ console, cwd }: Context, options: DataClassifierOptions): Promise<ExitCode> {
  const { precision = 0.95, seed = 0 } = options;
  if (precision <= 0 || precision > 1)
    throw argumentError(`invalid precision: ${precision}`, "--precision", "give a number above 0 and at most 1");
  const output: Output = { kind: "file", path: resolve(cwd, options.output), what: "the classifier" };
  checkOutput(output);
  const reporter = consoleReporter(console);
  const files = options.files.map((file) => resolve(cwd, file));
  const { json, trained, heldOut, quality, refused } = await Promise.resolve()
    .then(() => trainTextClassifier({ files, precision, seed }, reporter))
    .finally(reporter.end);
  writeOutputFile(output.path, output.what, `${json}\n`);
  console.result({ data: files, trained, held_out: heldOut, ...quality, refused, output: output.path }, () =>
    [
      `trained on ${counted(trained.unsafe, "unsafe text")} and ${counted(trained.safe, "safe text")}${refused.length === 0 ? "" : `; ${counted(refused.length, "row")} refused, the first is row ${refused[0]?.row}: ${refused[0]?.reason}`}`,
      `on ${counted(heldOut.unsafe, "unsafe text")} and ${counted(heldOut.safe, "safe text")} that were held out: precision ${quality.precision.toFixed(3)}, recall ${quality.recall.toFixed(3)}, AUC ${quality.auc.toFixed(3)} at the threshold ${quality.threshold.toFixed(3)}`,
      `${output.path} is for \`lapidary data filter --classifier\``,
    ].join("\n"),
  );
  return ExitCode.done;
}
