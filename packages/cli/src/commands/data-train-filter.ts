import { resolve } from "node:path";
import { type Accuracy, trainFilter } from "@lapidary/offline/data-train-filter";
import { counted, ExitCode, textTable } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput, type Output, writeOutputFile } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface TrainFilterOptions {
  readonly files: readonly string[];
  readonly output: string;
  readonly label: string | undefined;
  readonly features: string | undefined;
  readonly seed: number | undefined;
}

/** `lapidary data train-filter FILE` trains a model of labels for the stage `measure` of pipelines. */
export async function trainDataFilter({ console, cwd }: Context, options: TrainFilterOptions): Promise<ExitCode> {
  const { label = "label", seed = 0 } = options;
  const features = options.features === "words" ? "words" : "layout";
  const output: Output = { kind: "file", path: resolve(cwd, options.output), what: "the model" };
  checkOutput(output);
  const reporter = consoleReporter(console);
  const files = options.files.map((file) => resolve(cwd, file));
  const { file, labels, random, sources } = await Promise.resolve()
    .then(() => trainFilter({ files, label, features, seed }, reporter))
    .finally(reporter.end);
  writeOutputFile(output.path, output.what, `${JSON.stringify(file)}\n`);
  console.result({ data: files, features, labels, random, sources, output: output.path }, () =>
    [
      `${output.path}: ${Object.entries(labels)
        .map(([name, count]) => `${name} ${count}`)
        .join(", ")}`,
      textTable(
        [{ title: "texts that the model did not see" }, { title: "texts", align: "right" }, { title: "right", align: "right" }],
        [accuracyRow("a random part", random), ...Object.entries(sources).map(([name, each]) => accuracyRow(`all of ${name}`, each))],
      ),
      ...(Object.keys(sources).length > 0
        ? []
        : [`${counted(Object.keys(labels).length, "label")}; rows with a \`source\` would show how it does on new sources`]),
    ].join("\n\n"),
  );
  return ExitCode.done;
}

const accuracyRow = (name: string, { texts, right }: Accuracy): readonly string[] => [
  name,
  String(texts),
  texts === 0 ? "–" : `${((100 * right) / texts).toFixed(1)} %`,
];
