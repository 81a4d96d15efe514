import { resolve } from "node:path";
import { filterFile } from "@lapidary/offline/data-filter";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput, type Output, writeOutputFile } from "../output/output.js";
import { filterText } from "@lapidary/report/filter-text";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface DataFilterOptions {
  readonly file: string;
  /** Names, separated by commas. */
  readonly filters: string | undefined;
  readonly against: readonly string[];
  readonly own: readonly string[];
  readonly classifier: string | undefined;
  readonly output: string;
  readonly removed: string | undefined;
}

/** `lapidary data filter FILE` writes the rows that pass the filters, and reports what each filter removed. */
export async function filterData({ console, cwd, clock }: Context, options: DataFilterOptions): Promise<ExitCode> {
  const output: Output = { kind: "file", path: resolve(cwd, options.output), what: "the kept rows" };
  const removed: Output | undefined =
    options.removed === undefined ? undefined : { kind: "file", path: resolve(cwd, options.removed), what: "the removed rows" };
  for (const each of [output, ...(removed === undefined ? [] : [removed])]) checkOutput(each);
  const reporter = consoleReporter(console);
  const file = resolve(cwd, options.file);
  const filtered = await Promise.resolve()
    .then(() =>
      filterFile(
        {
          file,
          filters: options.filters
            ?.split(",")
            .map((name) => name.trim())
            .filter((name) => name !== ""),
          against: options.against.map((each) => resolve(cwd, each)),
          own: options.own,
          classifier: options.classifier === undefined ? undefined : resolve(cwd, options.classifier),
        },
        { clock, reporter },
      ),
    )
    .finally(reporter.end);
  writeOutputFile(output.path, output.what, filtered.kept.map((line) => `${line}\n`).join(""));
  if (removed !== undefined)
    writeOutputFile(
      removed.path,
      removed.what,
      [...filtered.refused, ...filtered.removed].map((row) => `${JSON.stringify(row)}\n`).join(""),
    );
  console.result(
    {
      data: file,
      format: filtered.format,
      rows: filtered.rows,
      kept: filtered.kept.length,
      refused: filtered.refused,
      filters: filtered.reports.map(({ filter, checked, removed: count, removedByKind, milliseconds, examples }) => ({
        filter,
        checked,
        removed: count,
        removed_by_kind: removedByKind,
        ms: milliseconds,
        examples,
      })),
      output: output.path,
    },
    () => filterText(filtered, output.path, console.paint),
  );
  return ExitCode.done;
}
