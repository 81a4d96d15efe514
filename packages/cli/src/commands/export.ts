import { join, resolve } from "node:path";
import { openHome } from "@lapidary/api/home-directory";
import { type Dataset, datasetFiles, prepareDataset } from "@lapidary/data";
import { checkpointFilesOf, maskedToken } from "@lapidary/tokenizer";
import {
  checkExportDirectory,
  modelConfigToHf,
  HfCheckpoint,
  jaxVersion,
  orbaxVersion,
  initSpecsOf,
  type WrittenExport,
  writeXlaExport,
  type XlaExport,
  type XlaState,
} from "@lapidary/interop";
import { buildModel, parameterCount } from "@lapidary/models";
import { ExitCode, formatBytes, LapidaryError, counted } from "@lapidary/std";
import { chipCount, parseTorus } from "@lapidary/topology";
import {
  checkInputs,
  checkSameModel,
  checkTokenizerSize,
  compileJob,
  corpusOf,
  initGraph,
  jobWarnings,
  paramName,
  podAxis,
  type ResolvedJob,
  tokenizerRequest,
  trainState,
} from "@lapidary/training";
import type { Context } from "../context.js";
import { checkOutput, writeOutputDirectory } from "../output/output.js";
import { readLocatedJob } from "./job-file.js";

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

/** Parameters up to this size are exported as values. */
const maxValueBytes = 1 << 28;
const checkpointEvery = 100;

/** `lapidary export JOB -o DIR`: everything that XLA needs to run the job somewhere else. */
export async function exportJob(context: Context, request: ExportRequest): Promise<ExitCode> {
  const { console, cwd } = context;
  const { job, locationOf, warnings: renamed } = readLocatedJob(context, request.job, request.overrides);
  const inputs = await checkInputs(job, { projectRoot: context.root, locationOf, readsCorpus: request.data });
  const warnings = [...renamed, ...inputs, ...jobWarnings(job)];
  for (const warning of warnings) console.warn(warning);
  const directory = resolve(cwd, request.output);
  const what = "the export";
  await writeOutputDirectory(directory, what, () => checkExportDirectory(directory));
  checkOutput({ kind: "directory", path: directory, what });
  const progress = console.progress();
  progress.update("compile");
  const program = compileJob(job, { verify: false });
  const dataset = request.data ? await prepared(context, job, (text, state) => progress.update(text, state)) : undefined;
  try {
    progress.update("write", directory);
    const exported: XlaExport = {
      program,
      name: job.name,
      numerics: job.numerics,
      dcnAxes: job.pods > 1 ? [podAxis] : [],
      steps: job.train.steps,
      states: await statesOf(job),
      initialState: stateForm(job, request.state),
      data: dataOf(job, dataset),
      model: modelConfigToHf(job.model.config, dataset?.manifest.control),
      modelFiles: dataset === undefined ? new Map() : checkpointFilesOf(dataset.tokenizerFiles),
      launch: {
        name: job.name,
        slices: job.pods,
        topology: job.slice,
        chipsPerSlice: chipCount(parseTorus(job.slice)),
        jaxVersion,
        orbaxVersion,
        checkpointEvery: job.checkpoint.every ?? checkpointEvery,
      },
    };
    const written = await writeOutputDirectory(directory, what, () =>
      writeXlaExport(directory, exported, { splitAllReduce: request.splitAllReduce }),
    );
    progress.end();
    console.result({ ...resultOf(directory, job, written), warnings }, () => summary(directory, job, written));
  } finally {
    progress.end();
    dataset?.close();
  }
  return ExitCode.done;
}

/** The very dataset that a run of the job trains on; none where the corpus is too small for one batch of a job meant for real pods. */
async function prepared(
  { root, home, console }: Context,
  job: ResolvedJob,
  tell: (phase: string, state: string) => void,
): Promise<Dataset | undefined> {
  for (const warning of openHome(home)) console.warn(warning);
  const dataset = await prepareDataset({
    corpus: corpusOf(job, root),
    tokenizer: tokenizerRequest(job),
    heldOutFraction: job.data.held_out,
    cacheDir: join(home, "cache/datasets"),
    onProgress: ({ stage, done, total }) => tell(`prepare the data: ${stage}`, `${Math.floor((100 * done) / Math.max(1, total))} %`),
  });
  try {
    checkTokenizerSize(job, dataset.manifest.vocabSize);
    dataset.requireBatch(job.train);
    return dataset;
  } catch (error) {
    dataset.close();
    if (!(error instanceof LapidaryError) || error.code !== "LAP_DATA_TOO_SMALL") throw error;
    console.warn(`exported without data: ${error.message}. Name a larger data.corpus, or run with --synthetic`);
    return undefined;
  }
}

/** The initial value of each state: the weights of the job's checkpoint if it has one, otherwise what the init program draws. */
async function statesOf(job: ResolvedJob): Promise<Map<string, XlaState>> {
  const initSpecs = initSpecsOf(initGraph(trainState(buildModel(job.model.config), job.train.optimizer), job.seed));
  const states = new Map<string, XlaState>(initSpecs);
  if (job.train.init === undefined) return states;
  const checkpoint = await HfCheckpoint.open(job.train.init);
  try {
    checkSameModel(job.train.init, job.model.config, checkpoint.config);
    for (const { name } of checkpoint.params) {
      // Read the weights even if the file is copied, to reject NaN and infinite weights here and not on the pod.
      const array = await checkpoint.read(name);
      const source = checkpoint.sourceOf(name);
      states.set(paramName(name), source === undefined ? { kind: "array", array } : { kind: "copy", ...source });
    }
  } finally {
    await checkpoint.close();
  }
  return states;
}

function stateForm(job: ResolvedJob, requested: string | undefined): XlaExport["initialState"] {
  if (requested === "values" || requested === "init-spec") return requested;
  return parameterCount(buildModel(job.model.config)) * 4 <= maxValueBytes ? "values" : "init-spec";
}

function dataOf(job: ResolvedJob, dataset: Dataset | undefined): XlaExport["data"] {
  if (dataset === undefined) return { kind: "none" };
  const { directory, manifest } = dataset;
  return {
    kind: "tokens",
    path: join(directory, datasetFiles.tokens("train")),
    tokens: manifest.splits.train.tokens,
    bytes_per_token: manifest.bytesPerToken,
    seed: job.seed,
    batch: job.train.batch,
    seq: job.train.seq,
    // No token is -1.
    bos: maskedToken(manifest.control) ?? -1,
  };
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

function summary(directory: string, job: ResolvedJob, { manifest, textBytes, files }: WrittenExport): string {
  const data = manifest.data.kind === "tokens" ? counted(manifest.data.tokens, "token") : "no data (run with --synthetic)";
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
