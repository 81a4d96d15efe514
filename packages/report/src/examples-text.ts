import type { ExampleCounts, ShownExamples } from "@lapidary/offline/examples";
import { counted } from "@lapidary/std";
import type { Paint } from "./paint.js";

type RefusedRow = ExampleCounts["refused"][number];

/** The text of `lapidary data check`: counts, and each refused row. */
export function countsText(counts: ExampleCounts, paint: Paint): string {
  return [headText(counts, paint), ...refusedText(counts.refused, paint)].join("\n");
}

/** The text of `lapidary data show`: the tokens of the rows, counts, and each refused row. */
export function shownText(examples: ShownExamples, paint: Paint): string {
  const { tokenizer, vocabSize, shown, notShown } = examples;
  const refused = [...examples.refused, ...notShown.filter(({ row }) => examples.refused.every((each) => each.row !== row))];
  return [
    headText(examples, paint),
    `tokenizer: ${tokenizer ?? "bytes of UTF-8"}, ${counted(vocabSize, "id")}`,
    ...shown.flatMap(({ row, kind, subset, documents }) =>
      documents.flatMap(({ name, table }) => {
        const of = subset === undefined ? "" : `, subset ${subset}`;
        return ["", paint.bold(`row ${row}, ${kind}${name === "document" || name === "prompt" ? "" : `, ${name}`}${of}`), table];
      }),
    ),
    ...refusedText(
      refused.sort((a, b) => a.row - b.row),
      paint,
    ),
  ].join("\n");
}

function headText({ file, format, isDetected, rows, examples, subsets, refused }: ExampleCounts, paint: Paint): string {
  const named = format === undefined ? "no format" : `format ${format}${isDetected ? " (by its keys)" : ""}`;
  const bad = `${refused.length} refused`;
  const head = `${file}: ${named}, ${counted(rows, "row")}, ${counted(examples, "example")}, ${refused.length === 0 ? bad : paint.red(bad)}`;
  const tags = Object.entries(subsets).map(([name, count]) => `${name} ${count}`);
  const lines = [head, ...(tags.length === 0 ? [] : [`subsets: ${tags.join(", ")}`])];
  return [...lines, ...(examples === 0 ? ["the file has no usable row"] : [])].join("\n");
}

function refusedText(refused: readonly RefusedRow[], paint: Paint): string[] {
  return refused.flatMap(({ row, code, reason, remedy }, at) => [
    ...(at === 0 ? [""] : []),
    `row ${row}: ${paint.red(code)}: ${reason}`,
    `    remedy: ${remedy}`,
  ]);
}
