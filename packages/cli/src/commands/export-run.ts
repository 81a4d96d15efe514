import { resolve } from "node:path";
import { ExitCode, formatBytes, jsonText } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { checkOutput, writeOutputFile } from "../output/output.js";
import { allMetrics, withReader } from "./connect.js";

export interface ExportRunOptions {
  readonly id: string;
  /** A page for a browser, in one file. */
  readonly output: string | undefined;
  /** A directory for TensorBoard. */
  readonly tensorboard: string | undefined;
  /** Rows of metrics, one JSON object a line. */
  readonly jsonl: string | undefined;
}

/** Exports the records of a run to files that need no coordinator. */
export async function exportRun(context: Context, { id, output, tensorboard, jsonl }: ExportRunOptions): Promise<ExitCode> {
  if (output === undefined && tensorboard === undefined && jsonl === undefined)
    throw argumentError(
      "no output is given",
      context.command,
      "give -o FILE for a page, or --tensorboard DIR or --jsonl FILE for the metrics",
    );
  const outputs = [
    [output, "file", "the page"],
    [jsonl, "file", "the rows"],
    [tensorboard, "directory", "the TensorBoard events"],
  ] as const;
  for (const [to, kind, what] of outputs) if (to !== undefined) checkOutput({ kind, path: resolve(context.cwd, to), what });
  const written: { what: string; path: string; bytes: number }[] = [];
  const write = (what: string, to: string, data: string | Uint8Array): void => {
    const path = resolve(context.cwd, to);
    writeOutputFile(path, `the ${what}`, data);
    written.push({ what, path, bytes: typeof data === "string" ? Buffer.byteLength(data) : data.length });
  };
  const { page, rows } = await withReader(
    context,
    async (client) => ({
      page: output === undefined ? "" : await client.pageFile(id),
      rows: tensorboard === undefined && jsonl === undefined ? [] : await allMetrics(context, client, id),
    }),
    { views: output !== undefined },
  );
  if (output !== undefined) write("page", output, page);
  if (jsonl !== undefined) write("rows", jsonl, rows.map((row) => `${jsonText(row)}\n`).join(""));
  if (tensorboard !== undefined) {
    const { TensorboardFile } = await import("../output/tensorboard-file.js");
    const events = TensorboardFile.write(resolve(context.cwd, tensorboard), id, rows[0]?.time ?? context.clock.now(), rows);
    written.push({ what: "TensorBoard events", ...events });
  }
  context.console.result({ id, written }, () =>
    written.map(({ what, path, bytes }) => `${what.padEnd(20)}${path}  ${formatBytes(bytes)}`).join("\n"),
  );
  return ExitCode.done;
}
