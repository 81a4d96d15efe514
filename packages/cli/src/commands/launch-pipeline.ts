import type { PipelineSubmitted, SubmitPipeline } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import type { LaunchFile } from "@lapidary/offline/submission";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { connectToLaunch } from "./connect-to-launch.js";
import { withCtrlC } from "./ctrl-c.js";
import type { LaunchOptions } from "./launch-options.js";
import { followPipeline, pipelineExit, printPipeline } from "./pipeline-end.js";

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
  const client = await connectToLaunch(context, options.up === true);
  const submitted = await submit(context, client, request as SubmitPipeline);
  const { id } = submitted;
  const last = submitted.jobs.at(-1)?.run ?? id;
  if (options.detach) {
    console.result(submitted, () => id);
    console.say(`show it with \`lapidary jobs get ${id}\`, wait for it with \`lapidary jobs wait ${id}\``);
    return ExitCode.done;
  }
  const cancel = async (): Promise<void> => {
    for (const run of (await client.cancelPipeline(id)).running) await client.cancel(run);
  };
  const ended = await withCtrlC(context, { what: `pipeline ${id}`, last, cancel }, (signal) =>
    followPipeline(context, client, submitted.jobs, signal),
  );
  const state = await printPipeline(context, client, id);
  return ended ? pipelineExit(state) : ExitCode.interrupted;
}

async function submit({ console }: Context, client: CoordinatorClient, request: SubmitPipeline): Promise<PipelineSubmitted> {
  const submitted = await client.submitPipeline(request);
  const runs = submitted.jobs.map(({ run }) => run).join(", ");
  console.say(submitted.existed ? `pipeline ${submitted.id} exists already, with the same jobs` : `pipeline ${submitted.id}: runs ${runs}`);
  for (const warning of submitted.warnings) console.warn(warning);
  return submitted;
}
