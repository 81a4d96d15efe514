import { join, resolve } from "node:path";
import { checkExportDirectory, prepareExport, readExportedJob, type WrittenExport } from "@lapidary/offline/export";
import type { ResolvedJob } from "@lapidary/offline/job-file";
import { ExitCode, formatBytes, counted } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput, writeOutputDirectory } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface ExportRequest {
  readonly job: string;
  readonly overrides: readonly string[];
  readonly output: string;
  /** Form of the initial states: `values`, or an `init-spec` from which `run.py` draws them; chosen by size if undefined. */
  readonly state: string | undefined;
  /** Whether to export the tokens. */
  readonly data: boolean;
  /** For Gloo, whose number of sockets grows with the square of the group size. */
  readonly splitAllReduce: boolean;
}

/** `lapidary export JOB -o DIR`: everything that XLA needs to run the job on another machine. */
export async function exportJob(context: Context, request: ExportRequest): Promise<ExitCode> {
  const { console, cwd } = context;
  const { data, splitAllReduce } = request;
  const { job, warnings } = await readExportedJob(context, request.job, request.overrides, { data });
  for (const warning of warnings) console.warn(warning);
  const directory = resolve(cwd, request.output);
  const what = "the export";
  await writeOutputDirectory(directory, what, () => checkExportDirectory(directory));
  checkOutput({ kind: "directory", path: directory, what });
  const reporter = consoleReporter(console);
  const state = request.state === "values" || request.state === "init-spec" ? request.state : undefined;
  const prepared = await prepareExport(job, { state, data, splitAllReduce }, context, reporter);
  try {
    reporter.progress("write", directory);
    const written = await writeOutputDirectory(directory, what, () => prepared.write(directory));
    reporter.end();
    console.result({ ...resultOf(directory, job, written), warnings }, () => summary(directory, job, written));
  } finally {
    reporter.end();
    prepared.close();
  }
  return ExitCode.done;
}

const resultOf = (directory: string, job: ResolvedJob, { manifest, textBytes, files }: WrittenExport): object => ({
  directory,
  job: job.name,
  chips: job.chips,
  mesh: Object.fromEntries(job.mesh.map(({ name, size }) => [name, size])),
  jax: manifest.jax,
  text_bytes: textBytes,
  data: manifest.data.kind,
  files,
});

function dataText(data: WrittenExport["manifest"]["data"]): string {
  if (data.kind === "none") return "no data (run with --synthetic)";
  return data.kind === "tokens" ? counted(data.tokens, "token") : `the rows of ${counted(data.steps, "step")}`;
}

function summary(directory: string, job: ResolvedJob, { manifest, textBytes, files }: WrittenExport): string {
  const data = dataText(manifest.data);
  const run = `python3 ${join(directory, "run.py")}`;
  const synthetic = manifest.data.kind === "none" ? " --synthetic" : "";
  return [
    `${job.name} for ${job.chips} devices, in ${directory}: ${counted(files.length, "file")}, ${formatBytes(textBytes)} of text, ${data}`,
    "",
    `  ${run} --check`,
    "      both texts verify",
    `  ${run} --text chip --steps 5${synthetic}`,
    "      our per-chip program; without accelerators on virtual CPU devices",
    `  ${run} --text whole${synthetic}`,
    "      Shardy and XLA partition it; on a pod, on all its chips",
    `  kubectl apply -f ${join(directory, "jobset.yaml")}`,
    `  sbatch ${join(directory, "job.sbatch")}`,
    "      on TPU v5e slices, on GPUs",
  ].join("\n");
}
