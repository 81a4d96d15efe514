import { checkJobFile, jobFileOf, jobJsonSchema, pipelineJsonSchema, printJob } from "@lapidary/offline/config";
import { ExitCode, LapidaryError, type Warning } from "@lapidary/std";
import type { Context } from "../context.js";
import { errorJson, errorText } from "../terminal/error-text.js";
import { readJob } from "./job-file.js";

/** A job with everything resolved: a job file that needs no other file. */
export async function showConfig(context: Context, file: string, overrides: readonly string[]): Promise<ExitCode> {
  const job = await readJob(context, file, overrides);
  context.console.result(jobFileOf(job), () => printJob(job));
  return ExitCode.done;
}

/** @param ofPipelines whether to show the schema of pipeline files */
export async function showSchema(context: Context, ofPipelines: boolean): Promise<ExitCode> {
  const schema = ofPipelines ? pipelineJsonSchema() : jobJsonSchema();
  context.console.result(schema, () => JSON.stringify(schema, null, 2));
  return ExitCode.done;
}

/** Checks each file and its inputs on this machine. The exit code is that of the first error. */
export async function validateConfigs(context: Context, files: readonly string[]): Promise<ExitCode> {
  const { console, command } = context;
  const outcomes: Outcome[] = [];
  for (const file of files) outcomes.push(await outcomeOf(context, file));
  for (const { warnings } of outcomes) for (const warning of warnings) console.warn(warning);
  const first = outcomes.find(({ error }) => error !== undefined)?.error;
  console.result(
    {
      ok: first === undefined,
      files: outcomes.map(({ file, error, warnings }) => ({
        file,
        ok: error === undefined,
        warnings,
        error: error === undefined ? null : errorJson(error, command).error,
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

interface Outcome {
  readonly file: string;
  readonly error: LapidaryError | undefined;
  readonly warnings: readonly Warning[];
}

async function outcomeOf(context: Context, file: string): Promise<Outcome> {
  try {
    return { file, error: undefined, warnings: await checkJobFile(context, file) };
  } catch (error) {
    if (error instanceof LapidaryError) return { file, error, warnings: [] };
    throw error;
  }
}
