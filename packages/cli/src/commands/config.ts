import { ExitCode, LapidaryError, type Warning } from "@lapidary/std";
import { jobFileOf, jobJsonSchema, jobWarnings, printJob } from "@lapidary/training";
import type { Context } from "../context.js";
import { errorJson, errorText } from "../terminal/error-text.js";
import { readJob } from "./job-file.js";

/** A job with everything resolved: a job file that stands alone. */
export async function showConfig(context: Context, file: string, overrides: readonly string[]): Promise<ExitCode> {
  const job = readJob(context, file, overrides);
  context.console.result(jobFileOf(job), () => printJob(job));
  return ExitCode.done;
}

export async function showSchema(context: Context): Promise<ExitCode> {
  const schema = jobJsonSchema();
  context.console.result(schema, () => JSON.stringify(schema, null, 2));
  return ExitCode.done;
}

/** Checks each file; the exit code is that of the first that is wrong. */
export async function validateConfigs(context: Context, files: readonly string[]): Promise<ExitCode> {
  const { console, command } = context;
  const outcomes = files.map((file) => ({ file, ...check(context, file) }));
  const first = outcomes.find(({ error }) => error !== undefined)?.error;
  console.result(
    {
      ok: first === undefined,
      files: outcomes.map(({ file, error, warnings }) => ({
        file,
        ok: error === undefined,
        error: error === undefined ? null : errorJson(error, command).error,
        warnings,
      })),
      warnings: outcomes.flatMap(({ warnings }) => warnings),
    },
    () =>
      outcomes
        .map(
          ({ file, error }) =>
            `${error === undefined ? console.paint.green("ok") : console.paint.red("no")}  ${file}${error === undefined ? "" : `\n${errorText(error, command, console.paint)}`}`,
        )
        .join("\n"),
  );
  return first?.exit ?? ExitCode.done;
}

function check(context: Context, file: string): { readonly error?: LapidaryError; readonly warnings: readonly Warning[] } {
  try {
    const warnings = jobWarnings(readJob(context, file, []));
    for (const warning of warnings) context.console.warn({ ...warning, place: `${file}: ${warning.place ?? ""}` });
    return { warnings };
  } catch (error) {
    if (error instanceof LapidaryError) return { error, warnings: [] };
    throw error;
  }
}
