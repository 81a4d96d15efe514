import type { FilteredFile } from "@lapidary/offline/data-filter";
import { counted, formatDuration, textTable, visible } from "@lapidary/std";
import type { Paint } from "./paint.js";

const maxRefused = 5;
const right = { align: "right" } as const;

/** The text of `lapidary data filter`: a row for each filter, then the first rows that were removed. */
export function filterText({ format, rows, refused, reports, kept }: FilteredFile, output: string, paint: Paint): string {
  const table = textTable(
    [{ title: "filter" }, { title: "checked", ...right }, { title: "removed", ...right }, { title: "time", ...right }, { title: "kinds" }],
    reports.map(({ filter, checked, removed, milliseconds, removedByKind }) => [
      filter,
      String(checked),
      String(removed),
      formatDuration(milliseconds),
      Object.entries(removedByKind)
        .map(([kind, count]) => `${kind} ${count}`)
        .join(", "),
    ]),
  );
  const shown = [
    ...refused.slice(0, maxRefused).map(({ row, reason }) => `row ${row}: ${reason}`),
    ...reports.flatMap(({ filter, examples }) => examples.map(({ row, detail }) => `row ${row}: ${filter} found ${detail}`)),
  ];
  return [
    `${counted(rows, "row")} of the format ${format}${refused.length === 0 ? "" : `, ${refused.length} refused`}`,
    "",
    table,
    ...(shown.length === 0 ? [] : ["", ...shown.map((line) => paint.dim(visible(line)))]),
    "",
    `${counted(kept.length, "row")} kept in ${output}`,
  ].join("\n");
}
