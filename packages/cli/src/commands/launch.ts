import type { MetricsRow, Report, SubmitRequest, Submitted } from "@lapidary/api";
import { resolve } from "node:path";
import type { CoordinatorClient } from "@lapidary/api/client";
import type { StepProfile } from "@lapidary/offline/step-profile";
import type { LaunchFile } from "@lapidary/offline/submission";
import { ExitCode, LapidaryError } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { runReport } from "@lapidary/report/run-report";
import { checkOutput } from "../output/output.js";
import { allMetrics } from "./connect.js";
import { connectToLaunch } from "./connect-to-launch.js";
import { withCtrlC } from "./ctrl-c.js";
import { type Ending, endingError, followJob } from "./follow.js";
import type { LaunchOptions } from "./launch-options.js";

/** Submits a job or a pipeline and follows it to its end. Ctrl-C stops following; the job continues. */
export async function launch(context: Context, options: LaunchOptions): Promise<ExitCode> {
  const { console } = context;
  const { readLaunchFile } = await import("@lapidary/offline/submission");
  const file = readLaunchFile(context, options.job);
  if (file.isPipeline) return (await import("./launch-pipeline.js")).launchPipeline(context, options, file.text);
  if (options.detach && options.tensorboard !== undefined)
    throw argumentError(
      "--tensorboard writes while the job is followed, and -d does not follow",
      "launch",
      "leave -d out, or use `lapidary export-run ID --tensorboard DIR` afterwards",
    );
  const request = await submissionOf(
    context,
    file,
    options.profile === true ? { ...options, overrides: [...options.overrides, "trace_every=1"] } : options,
  );
  if (options.tensorboard !== undefined)
    checkOutput({ kind: "directory", path: resolve(context.cwd, options.tensorboard), what: "the TensorBoard events" });
  const client = await connectToLaunch(context, options.up === true);
  const submitted = await submit(context, client, request);
  const { id } = submitted;
  if (options.detach) {
    console.result(submitted, () => id);
    console.say(`follow it with \`lapidary logs -f ${id}\`, wait for it with \`lapidary jobs wait ${id}\``);
    return ExitCode.done;
  }
  const onRow = await tensorboardRows(context, options.tensorboard, id);
  const ending = await withCtrlC(context, { what: `run ${id}`, last: id, cancel: () => client.cancel(id) }, (signal) =>
    followJob(context, client, id, signal, onRow),
  );
  if (ending === undefined) {
    console.result({ id, state: (await client.get(id)).state, report: null, warnings: submitted.warnings }, () => id);
    return ExitCode.interrupted;
  }
  return finish(context, client, submitted, ending, options.profile);
}

/** Receives rows for TensorBoard. The time of the first row is part of the file name. */
async function tensorboardRows(
  { cwd, console }: Context,
  directory: string | undefined,
  id: string,
): Promise<((row: MetricsRow) => void) | undefined> {
  if (directory === undefined) return undefined;
  const { TensorboardFile } = await import("../output/tensorboard-file.js");
  let file: InstanceType<typeof TensorboardFile> | undefined;
  let refused = false;
  return (row) => {
    if (refused) return;
    try {
      if (file === undefined) {
        file = new TensorboardFile(resolve(cwd, directory), id, row.time);
        console.detail(`TensorBoard events: ${file.path}`);
      }
      file.append(row);
    } catch (error) {
      // The command follows the job to its end without TensorBoard events.
      if (!(error instanceof LapidaryError)) throw error;
      refused = true;
      console.warn({
        ...error.toJSON(),
        message: `${error.message}; rows from step ${row.step} on are missing there`,
        remedy: `${error.remedy}; \`lapidary export-run ${id} --tensorboard DIR\` writes all of them afterwards`,
      });
    }
  };
}

/** The request to the coordinator: the resolved job. The job and its inputs are checked before the request is sent. */
export async function submission(context: Context, options: Omit<LaunchOptions, "detach">): Promise<SubmitRequest> {
  const { readLaunchFile } = await import("@lapidary/offline/submission");
  return submissionOf(context, readLaunchFile(context, options.job), options);
}

async function submissionOf(
  context: Context,
  file: LaunchFile,
  { overrides, name, priority }: Omit<LaunchOptions, "detach" | "job">,
): Promise<SubmitRequest> {
  const { readSubmission } = await import("@lapidary/offline/submission");
  const submitted = await readSubmission(context, file.text, overrides, (warning) => context.console.warn(warning));
  return { job: submitted.job, priority: priority ?? submitted.priority, ...(name === undefined ? {} : { name }) };
}

export async function submit(context: Context, client: CoordinatorClient, request: SubmitRequest): Promise<Submitted> {
  const submitted = await client.submit(request);
  context.console.say(submitted.existed ? `run ${submitted.id} exists already, with the same job` : `run ${submitted.id}`);
  for (const warning of submitted.warnings) context.console.warn(warning);
  return submitted;
}

/** Prints the report of a job that has ended, or throws its error. */
export async function finish(
  context: Context,
  client: CoordinatorClient,
  { id, warnings: submitted }: Pick<Submitted, "id" | "warnings">,
  ending: Ending,
  profiled = false,
): Promise<ExitCode> {
  const { console } = context;
  if (ending.state !== "done") throw endingError(id, ending);
  const report = await client.report(id);
  // Warnings of the run follow the warnings of the submission.
  const later = report.warnings.filter(({ code, message }) => !submitted.some((each) => each.code === code && each.message === message));
  for (const warning of later) console.warn(warning);
  const warnings = [...submitted, ...later];
  const metrics = console.options.json ? [] : await allMetrics(context, client, id);
  const profile = profiled ? await readProfile(context, id) : undefined;
  console.result({ ...launchResult(id, report), warnings, ...(profile === undefined ? {} : { profile: profile.numbers }) }, () =>
    [
      runReport(report, metrics, { columns: console.columns, paint: console.paint }),
      ...(profile === undefined
        ? []
        : [
            "",
            console.paint.bold("Where a step went"),
            profile.text,
            "",
            console.paint.dim(`  call by call:  lapidary trace ${id} -o trace.json`),
          ]),
    ].join("\n"),
  );
  return ExitCode.done;
}

/** The profile of a traced run, as numbers and as text. */
async function readProfile({ home }: Context, id: string): Promise<{ numbers: StepProfile; text: string } | undefined> {
  const [{ readStepProfile }, { stepProfileText }] = await Promise.all([
    import("@lapidary/offline/step-profile"),
    import("@lapidary/report/step-profile-text"),
  ]);
  const numbers = readStepProfile(home, id);
  return numbers === undefined ? undefined : { numbers, text: stepProfileText(numbers) };
}

const launchResult = (id: string, report: Report): { id: string; state: "done"; report: Report } => ({ id, state: "done", report });
