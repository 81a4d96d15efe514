import { resolve } from "node:path";
import { isRun, predictedTrace, recordedAndPredictedTrace, recordedTrace, type Trace } from "@lapidary/offline/trace";
import { ExitCode, formatBytes, jsonText, type Warning } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { checkOutput, writeOutputFile } from "../output/output.js";

export interface TraceRequest {
  /** A job file, or a run. */
  readonly subject: string;
  readonly overrides: readonly string[];
  /** The file to write. */
  readonly output: string;
  /** For a run: a measured step and the predicted step. */
  readonly diff: boolean;
  readonly chip: string | undefined;
  readonly program: string | undefined;
}

/**
 * Writes a trace for Perfetto (ui.perfetto.dev) or chrome://tracing. For a job: the step that the simulator predicts. For a run: a measured step of its workers,
 * or with `--diff` the measured and the predicted step.
 */
export async function trace(context: Context, request: TraceRequest): Promise<ExitCode> {
  const { console, cwd } = context;
  const progress = console.progress();
  progress.update("write a trace of", request.subject);
  const file = resolve(cwd, request.output);
  checkOutput({ kind: "file", path: file, what: "the trace" });
  const written = await traceOf(context, request);
  const text = jsonText(written);
  writeOutputFile(file, "the trace", text);
  progress.end();
  console.result(
    { file, events: written.traceEvents.length },
    () => `${file}: ${written.traceEvents.length} events, ${formatBytes(text.length)}; open it in ui.perfetto.dev or chrome://tracing`,
  );
  return ExitCode.done;
}

async function traceOf(context: Context, { subject, diff, overrides, chip, program }: TraceRequest): Promise<Trace> {
  const options = { overrides, chip, program };
  const warn = (warning: Warning): void => context.console.warn(warning);
  if (isRun(context, subject))
    return diff ? await recordedAndPredictedTrace(context, subject, options, warn) : recordedTrace(context, subject);
  if (diff)
    throw argumentError(
      "--diff compares a run with its predicted step, but this is a job file",
      "--diff",
      "name a run, as `lapidary jobs` lists them",
    );
  return await predictedTrace(context, subject, options, warn);
}
