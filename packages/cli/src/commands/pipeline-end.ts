import { isComparison, type PipelineDetail, type PipelineSubmitted } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { stateMeaning } from "@lapidary/report/job-line";
import { type ComparisonRow, pipelineText, resultText } from "@lapidary/report/pipeline-text";
import { type Ending, endingExit, followOn } from "./follow.js";

/** The exit code of a pipeline by the results of all its jobs. */
export const pipelineExit = (state: PipelineDetail["state"]): ExitCode =>
  state === "queued" || state === "running" ? ExitCode.notFinished : endingExit(state);

/** Follows all jobs, and prints the end of each. @returns false after an abort */
export async function followPipeline(
  context: Context,
  client: CoordinatorClient,
  jobs: readonly Pick<PipelineSubmitted["jobs"][number], "name" | "run">[],
  signal: AbortSignal,
): Promise<boolean> {
  const progress = context.console.progress();
  try {
    const endings = await Promise.all(
      jobs.map(async ({ name, run }) => {
        const ending = await followOn(progress, context, client, { id: run, label: `${name}: ` }, signal);
        if (ending !== undefined) await printEnding(context, client, { name, run }, ending);
        return ending;
      }),
    );
    return endings.every((ending) => ending !== undefined);
  } finally {
    progress.end();
  }
}

async function printEnding(
  { console }: Context,
  client: CoordinatorClient,
  { name, run }: { readonly name: string; readonly run: string },
  { state, error }: Ending,
): Promise<void> {
  const report = state === "done" ? await client.report(run) : undefined;
  console.result({ job: name, id: run, state, report: report ?? null, failure: error ?? null }, () =>
    [
      `${name}: run ${run} ${stateMeaning[state]}`,
      ...(report === undefined ? [] : [`, ${resultText(report)}`]),
      ...(error === undefined ? [] : [`: ${error.code}: ${error.message}`]),
    ].join(""),
  );
}

/** The reports of the jobs of a pipeline that compared two models and are done. */
export async function comparisonsOf(client: CoordinatorClient, { jobs }: PipelineDetail): Promise<readonly ComparisonRow[]> {
  const done = jobs.filter(({ summary }) => summary?.state === "done");
  const reports = await Promise.all(done.map(async ({ name, run }) => ({ name, report: await client.report(run) })));
  return reports.flatMap(({ name, report }) => (isComparison(report) ? [{ name, report }] : []));
}

/** Prints a pipeline at its end. @returns its state */
export async function printPipeline({ console }: Context, client: CoordinatorClient, id: string): Promise<PipelineDetail["state"]> {
  const pipeline = await client.pipeline(id);
  const comparisons = await comparisonsOf(client, pipeline);
  console.result(
    { id, state: pipeline.state, jobs: pipeline.jobs.map(({ name: job, run, summary }) => ({ job, id: run, state: summary?.state })) },
    () => pipelineText(pipeline, comparisons),
  );
  return pipeline.state;
}
