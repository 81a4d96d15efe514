import { batchAt, type BatchTrace, type DocumentTrace, whereDocument } from "@lapidary/offline/data-trace";
import { counted, ExitCode, textTable, visible } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";

/** Characters of a text in a table. */
const shownText = 60;

/** `lapidary data where DOCUMENT RUN` lists the steps of a run that trained on a document. */
export async function whereData(
  context: Context,
  { document, run }: { readonly document: string; readonly run: string },
): Promise<ExitCode> {
  const trace = await whereDocument(context, run, document);
  context.console.result({ run, ...trace }, () => documentText(run, trace));
  return ExitCode.done;
}

/** `lapidary data at RUN STEP` shows what was in the batch of a step. */
export async function dataAt(context: Context, { run, step }: { readonly run: string; readonly step: string }): Promise<ExitCode> {
  const number = Number(step);
  if (!/^\d+$/.test(step) || !Number.isSafeInteger(number)) throw argumentError(`invalid step: ${step}`, "step", "give a number from 1");
  const trace = await batchAt(context, run, number);
  context.console.result({ run, ...trace }, () => batchText(run, trace));
  return ExitCode.done;
}

function documentText(run: string, { document, source, split, tokens, text, trained, steps }: DocumentTrace): string {
  const about = `${document}\n  ${source}, ${counted(tokens, "token")}: ${excerpt(text)}`;
  if (split === "heldout") return `${about}\n  It is held out: no step trains on it.`;
  if (steps.length === 0) return `${about}\n  None of the ${counted(trained, "step")} of ${run} trained on it.`;
  const rows = steps.map(({ step, row, epoch, tokens: inRow }) => [`  ${step}`, String(row), String(epoch + 1), String(inRow)]);
  const columns = [{ title: "  step" }, { title: "row" }, { title: "pass" }, { title: "tokens" }];
  return `${about}\n${textTable(
    columns.map((column) => ({ ...column, align: "right" })),
    rows,
  )}`;
}

function batchText(run: string, { step, batch, rows }: BatchTrace): string {
  const lines = rows.flatMap(({ row, source, epoch, sequence, documents, text }) => [
    `row ${row}  ${source}, sequence ${sequence}, pass ${epoch + 1}: ${excerpt(text)}`,
    ...documents.map(({ id, tokens, in_row }) => `    ${id}  ${in_row} of ${counted(tokens, "token")}`),
  ]);
  return [`step ${step} of ${run}, batch ${batch}`, ...lines].join("\n");
}

function excerpt(text: string): string {
  const line = visible(text.replaceAll(/\s+/g, " ").trim());
  return line.length <= shownText ? line : `${line.slice(0, shownText)}…`;
}
