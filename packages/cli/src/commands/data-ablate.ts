import { resolve } from "node:path";
import { isTraining, type PipelineSubmitted, type SubmitPipeline } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { ablationReport, confirmedReport, planAblation, writeAblationPage } from "@lapidary/offline/data-ablation";
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
  const isPage = output?.path.endsWith(".html") === true;
  const plan = await planAblation(context, options, (warning) => console.warn(warning));
  const client = await connect(context);
  const first = await runAll(context, client, plan.jobs, { name: options.name, like: plan.like });
  if (typeof first === "number") return first;
  let report = ablationReport(plan, first.losses);
  const pipelines = [...first.pipelines];
  if (plan.confirmation !== undefined) {
    const confirmation = await plan.confirmation(report.recommended.shares);
    console.say("the large size trains on the recommended mixture");
    const own = { name: `${first.pipelines[0] ?? plan.like}-confirmed`.slice(-64), like: plan.like };
    const second = await runAll(context, client, confirmation.jobs, own);
    if (typeof second === "number") return second;
    pipelines.push(...second.pipelines);
    report = confirmedReport(report, confirmation, second.losses);
  }
  if (output !== undefined && isPage) writeAblationPage(context.root, output.path, report);
  else if (output !== undefined) writeOutputFile(output.path, output.what, `${JSON.stringify(report, null, 2)}\n`);
  console.result({ pipelines, ...report }, () => `\n${ablationText(report)}`);
  return ExitCode.done;
}

interface EndedRuns {
  readonly pipelines: readonly string[];
  /** By the name of the job. */
  readonly losses: ReadonlyMap<string, Readonly<Record<string, number>>>;
}

/** Runs jobs to their ends. @returns the exit code if they do not end well */
async function runAll(
  context: Context,
  client: CoordinatorClient,
  jobs: Parameters<typeof submitAll>[1],
  { name, like }: { readonly name: string | undefined; readonly like: string },
): Promise<EndedRuns | ExitCode> {
  const submitted = await submitAll(client, jobs, name, like);
  const ids = submitted.map(({ id }) => id);
  context.console.say(`pipeline ${ids.join(", ")}: ${jobs.length} runs`);
  const runs = submitted.flatMap((each) => each.jobs);
  const cancel = async (): Promise<void> => {
    for (const id of ids) for (const run of (await client.cancelPipeline(id)).running) await client.cancel(run);
  };
  const last = runs.at(-1)?.run ?? "";
  const ended = await withCtrlC(context, { what: `pipeline ${ids.join(", ")}`, last, cancel }, (signal) =>
    followPipeline(context, client, runs, signal),
  );
  if (!ended) return ExitCode.interrupted;
  for (const id of ids) {
    const { state } = await client.pipeline(id);
    if (state !== "done") return pipelineExit(state);
  }
  return { pipelines: ids, losses: await lossesOf(client, runs) };
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
    if (isTraining(report) && report.heldout_losses !== undefined) losses.set(name, report.heldout_losses);
  }
  return losses;
}
