import type { PipelineDetail, PipelineSubmitted, SubmitPipeline } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import type { LaunchFile } from "@lapidary/offline/submission";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { stateMeaning } from "@lapidary/report/job-line";
import { pipelineText } from "@lapidary/report/pipeline-text";
import { connect } from "./connect.js";
import { withCtrlC } from "./ctrl-c.js";
import { type Ending, endingExit, followOn } from "./follow.js";
import type { LaunchOptions } from "./launch-options.js";

/** Submits a pipeline and follows all its jobs to their ends. Ctrl-C stops following; the pipeline continues. */
export async function launchPipeline(context: Context, options: LaunchOptions, text: LaunchFile["text"]): Promise<ExitCode> {
  const { console } = context;
  for (const [flag, given] of [
    ["--profile", options.profile === true],
    ["--tensorboard", options.tensorboard !== undefined],
  ] as const)
    if (given) throw argumentError(`${flag} is for one job, and ${options.job} is a pipeline`, "launch", `leave ${flag} out`);
  const { readPipelineSubmission } = await import("@lapidary/offline/submission");
  const { like, jobs } = await readPipelineSubmission(context, text, options.overrides, (warning) => console.warn(warning));
  const { name, priority } = options;
  const request = { like, jobs, ...(name === undefined ? {} : { name }), ...(priority === undefined ? {} : { priority }) };
  const client = await connect(context);
  const submitted = await submit(context, client, request as SubmitPipeline);
  const { id } = submitted;
  const last = submitted.jobs.at(-1)?.run ?? id;
  if (options.detach) {
    console.result(submitted, () => id);
    console.say(`show it with \`lapidary jobs get ${id}\`, wait for its last job with \`lapidary jobs wait ${last}\``);
    return ExitCode.done;
  }
  const cancel = async (): Promise<void> => {
    for (const run of (await client.cancelPipeline(id)).running) await client.cancel(run);
  };
  const ended = await withCtrlC(context, { what: `pipeline ${id}`, last, cancel }, (signal) => follow(context, client, submitted, signal));
  const pipeline = await client.pipeline(id);
  console.result(
    { id, state: pipeline.state, jobs: pipeline.jobs.map(({ name: job, run, summary }) => ({ job, id: run, state: summary?.state })) },
    () => pipelineText(pipeline),
  );
  return ended ? exitOf(pipeline.state) : ExitCode.interrupted;
}

async function submit({ console }: Context, client: CoordinatorClient, request: SubmitPipeline): Promise<PipelineSubmitted> {
  const submitted = await client.submitPipeline(request);
  const runs = submitted.jobs.map(({ run }) => run).join(", ");
  console.say(submitted.existed ? `pipeline ${submitted.id} exists already, with the same jobs` : `pipeline ${submitted.id}: runs ${runs}`);
  for (const warning of submitted.warnings) console.warn(warning);
  return submitted;
}

const exitOf = (state: PipelineDetail["state"]): ExitCode =>
  state === "queued" || state === "running" ? ExitCode.notFinished : endingExit(state);

/** Follows all jobs, and prints the end of each. @returns false after an abort */
async function follow(context: Context, client: CoordinatorClient, { jobs }: PipelineSubmitted, signal: AbortSignal): Promise<boolean> {
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
      ...(report === undefined ? [] : [`, held-out loss ${report.heldout_loss.toFixed(3)}, checkpoint ${report.checkpoint}`]),
      ...(error === undefined ? [] : [`: ${error.code}: ${error.message}`]),
    ].join(""),
  );
}
