import { checkExamples, type ExampleCounts, type ExamplesRequest, showExamples } from "@lapidary/offline/examples";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { countsText, shownText } from "@lapidary/report/examples-text";

export interface ShowDataOptions extends ExamplesRequest {
  readonly tokenizer: string | undefined;
  readonly row: number | undefined;
  /** Such as `3-5`. */
  readonly rows: string | undefined;
}

/** The tokens of some rows of a file of examples, and the rows that are refused. */
export async function showData(context: Context, { row, rows, ...request }: ShowDataOptions): Promise<ExitCode> {
  const { console } = context;
  const examples = await showExamples(context, { ...request, rows: rangeOf(row, rows) });
  const { tokenizer = null, vocabSize, shown, notShown } = examples;
  const ok = notShown.length === 0 && shown.length > 0;
  console.result(
    {
      ...countsJson(examples),
      tokenizer,
      vocabulary: vocabSize,
      shown: shown.map(({ row: number, kind, subset = null, documents }) => ({
        row: number,
        kind,
        subset,
        documents: documents.map(({ name, ids, pieces, mask }) => ({ name, ids, pieces, mask })),
      })),
      not_shown: notShown.map(refusedJson),
    },
    () => shownText(examples, console.paint),
  );
  return ok ? ExitCode.done : ExitCode.usage;
}

/** Counts the rows of a file of examples; exit code 0 only if every row is an example. */
export async function checkData(context: Context, request: ExamplesRequest): Promise<ExitCode> {
  const { console } = context;
  const counts = checkExamples(context, request);
  const ok = counts.refused.length === 0 && counts.examples > 0;
  console.result({ ok, ...countsJson(counts) }, () => countsText(counts, console.paint));
  return ok ? ExitCode.done : ExitCode.usage;
}

const countsJson = ({ file, format, isDetected, rows, examples, subsets, refused }: ExampleCounts): Record<string, unknown> => ({
  file,
  format: format ?? null,
  detected: isDetected,
  rows,
  examples,
  subsets,
  refused: refused.map(refusedJson),
});

const refusedJson = ({ row, code, reason, remedy }: ExampleCounts["refused"][number]): Record<string, unknown> => ({
  row,
  code,
  reason,
  remedy,
});

function rangeOf(row: number | undefined, rows: string | undefined): readonly [number, number] | undefined {
  if (row !== undefined && rows !== undefined) throw argumentError("give --row or --rows, not both", "--rows", "omit one of them");
  if (row === 0) throw argumentError("invalid row: 0", "--row", "rows are counted from 1");
  if (row !== undefined) return [row, row];
  if (rows === undefined) return undefined;
  const [first, last] = (/^(\d{1,9})-(\d{1,9})$/.exec(rows)?.slice(1) ?? []).map(Number);
  if (first === undefined || last === undefined || first < 1 || last < first)
    throw argumentError(`invalid range of rows: ${JSON.stringify(rows)}`, "--rows", "write the first and the last row, such as 3-5");
  return [first, last];
}
