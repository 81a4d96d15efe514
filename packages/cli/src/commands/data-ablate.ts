import { resolve } from "node:path";
import { isComparison, isStepReport, type PipelineSubmitted, type SubmitPipeline } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { ablationReport, planAblation } from "@lapidary/offline/data-ablation";
import { ablationText } from "@lapidary/report/ablation-text";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput, type Output, writeOutputFile } from "../output/output.js";
import { connect } from "./connect.js";
import { withCtrlC } from "./ctrl-c.js";
import { followPipeline, pipelineExit } from "./pipeline-end.js";

export interface DataAblateOptions {
  readonly file: string;
  readonly pipeline: string | undefined;
  readonly name: string | undefined;
  readonly output: string | undefined;
}

/** Jobs of one request to the coordinator. */
const jobsPerRequest = 256;

/**
 * `lapidary data ablate FILE` trains small models on mixtures of sources, and recommends a mixture. The runs are jobs of the ordinary queue. The same
 * command with the same name continues: the coordinator returns the runs that exist.
 */
export async function ablateData(context: Context, options: DataAblateOptions): Promise<ExitCode> {
  const { console, cwd } = context;
  const output: Output | undefined =
    options.output === undefined ? undefined : { kind: "file", path: resolve(cwd, options.output), what: "the report" };
  if (output !== undefined) checkOutput(output);
  const plan = await planAblation(context, options, (warning) => console.warn(warning));
  const client = await connect(context);
  const submitted = await submitAll(client, plan.jobs, options.name, plan.like);
  const ids = submitted.map(({ id }) => id);
  console.say(`pipeline ${ids.join(", ")}: ${plan.jobs.length} runs`);
  const jobs = submitted.flatMap((each) => each.jobs);
  const cancel = async (): Promise<void> => {
    for (const id of ids) for (const run of (await client.cancelPipeline(id)).running) await client.cancel(run);
  };
  const last = jobs.at(-1)?.run ?? "";
  const ended = await withCtrlC(context, { what: `pipeline ${ids.join(", ")}`, last, cancel }, (signal) =>
    followPipeline(context, client, jobs, signal),
  );
  if (!ended) return ExitCode.interrupted;
  for (const id of ids) {
    const { state } = await client.pipeline(id);
    if (state !== "done") return pipelineExit(state);
  }
  const report = ablationReport(plan, await lossesOf(client, jobs));
  if (output !== undefined) writeOutputFile(output.path, output.what, `${JSON.stringify(report, null, 2)}\n`);
  console.result({ pipelines: ids, ...report }, () => `\n${ablationText(report)}`);
  return ExitCode.done;
}

/** Submits the jobs in as few pipelines as possible. */
async function submitAll(
  client: CoordinatorClient,
  jobs: readonly { readonly name: string; readonly needs: string[]; readonly job: unknown }[],
  name: string | undefined,
  like: string,
): Promise<readonly PipelineSubmitted[]> {
  const submitted: PipelineSubmitted[] = [];
  for (let at = 0; at < jobs.length; at += jobsPerRequest) {
    const part = jobs.slice(at, at + jobsPerRequest);
    const own = name === undefined ? {} : { name: at === 0 ? name : `${name}-${at / jobsPerRequest + 1}` };
    submitted.push(await client.submitPipeline({ like, jobs: part, ...own } as SubmitPipeline));
  }
  return submitted;
}

async function lossesOf(
  client: CoordinatorClient,
  jobs: PipelineSubmitted["jobs"],
): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>> {
  const losses = new Map<string, Readonly<Record<string, number>>>();
  for (const { name, run } of jobs) {
    const report = await client.report(run);
    if (!isComparison(report) && !isStepReport(report) && report.heldout_losses !== undefined) losses.set(name, report.heldout_losses);
  }
  return losses;
}
