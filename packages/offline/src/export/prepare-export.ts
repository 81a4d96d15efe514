import { join } from "node:path";
import { openHome } from "@lapidary/api/home-directory";
import { type AnyDataset, datasetFiles, prepareDataset, type PrepareWork, Dataset } from "@lapidary/data";
import {
  modelConfigToHf,
  HfCheckpoint,
  jaxVersion,
  orbaxVersion,
  readLayers,
  initSpecsOf,
  type WrittenExport,
  writeXlaExport,
  type XlaExport,
  type XlaState,
} from "@lapidary/interop";
import { buildModel, parameterCount } from "@lapidary/models";
import { LapidaryError, type Warning } from "@lapidary/std";
import { checkpointFilesOf, maskedToken } from "@lapidary/tokenizer";
import { chipCount, parseTorus } from "@lapidary/topology";
import {
  axesOverPods,
  buildOptionsOf,
  checkSameModel,
  checkTokenizerSize,
  corpusOf,
  initGraph,
  jobWarnings,
  paramName,
  type ResolvedJob,
  type StateSpec,
  statesOfLayers,
  tokenizerRequest,
  trainsOnExamples,
  trainsOnPipeline,
} from "@lapidary/training";
import { checkJobInputs } from "@lapidary/trainer/inputs";
import { compileFiles } from "@lapidary/tpu-compiler";
import { compileSubject, knownChips } from "../compile/compile-subject.js";
import type { Directories } from "../directories.js";
import { batchesOf, checkExportable, exportedProgram, prepareExamples, prepareSources } from "./export-programs.js";
import { exportedAttention } from "../job/exported-attention.js";
import { readTraceableJob } from "../job/job-file.js";
import type { Reporter } from "../reporter.js";

export { checkExportDirectory, type WrittenExport } from "@lapidary/interop";

export interface ExportOptions {
  /** Form of the initial states: `values`, or an `init-spec` from which `run.py` draws them; chosen by size if undefined. */
  readonly state: "values" | "init-spec" | undefined;
  /** Whether to export the tokens. */
  readonly data: boolean;
  /** For Gloo, whose number of sockets grows with the square of the group size. */
  readonly splitAllReduce: boolean;
}

/** A job whose program and data are ready to be written. */
export interface PreparedExport {
  /** Writes everything that XLA needs to run the job on another machine. */
  readonly write: (directory: string) => Promise<WrittenExport>;
  readonly close: () => void;
}

/** Parameters up to this size are exported as values. */
const maxValueBytes = 1 << 28;
const checkpointEvery = 100;

/** Reads the job of an export and checks its inputs; the corpus only if the tokens are exported. */
export async function readExportedJob(
  directories: Directories,
  file: string,
  overrides: readonly string[],
  { data }: Pick<ExportOptions, "data">,
): Promise<{ readonly job: ResolvedJob; readonly warnings: readonly Warning[] }> {
  const { job, locationOf, warnings } = await readTraceableJob(directories, file, overrides);
  await checkExportable(job, locationOf);
  const inputs = await checkJobInputs(job, { projectRoot: directories.root, locationOf, readsCorpus: data });
  return { job, warnings: [...warnings, ...inputs, ...jobWarnings(job), ...exportedAttention(job)] };
}

/** Compiles a job, prepares its dataset and reads its initial weights. The caller closes the result. */
export async function prepareExport(
  job: ResolvedJob,
  options: ExportOptions,
  directories: Directories,
  reporter: Reporter,
): Promise<PreparedExport> {
  reporter.progress("compile");
  const { program, states } = exportedProgram(job);
  const dataset = options.data ? await preparedData(job, directories, reporter) : undefined;
  try {
    const exported: XlaExport = {
      program,
      name: job.name,
      numerics: job.numerics,
      dcnAxes: job.pods > 1 ? (axesOverPods(job.mesh, job.pods) ?? []) : [],
      steps: job.train.steps,
      states: await initialStates(job, states),
      parts: partsOfStates(job, states),
      initialState: options.state ?? stateForm(job),
      data: dataOf(job, dataset),
      model: modelConfigToHf(job.model.config, dataset?.manifest.control),
      modelFiles: dataset === undefined ? new Map() : checkpointFilesOf(dataset.tokenizerFiles),
      compileFiles: compileFiles(compileSubject(job, program, directories.root, knownChips(directories.root))),
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
    return {
      write: (directory) => writeXlaExport(directory, exported, { splitAllReduce: options.splitAllReduce }),
      close: () => dataset?.close(),
    };
  } catch (error) {
    dataset?.close();
    throw error;
  }
}

/** The dataset that a run of the job trains on; undefined if the corpus is too small for one batch of a job for real pods. */
async function preparedData(job: ResolvedJob, { root, home }: Directories, reporter: Reporter): Promise<AnyDataset | undefined> {
  openHome(home).forEach(reporter.warn);
  const work: PrepareWork = {
    cacheDir: join(home, "cache/datasets"),
    onProgress: ({ stage, done, total }) =>
      reporter.progress(`prepare the data: ${stage}`, `${Math.floor((100 * done) / Math.max(1, total))} %`),
  };
  const dataset = trainsOnPipeline(job)
    ? await prepareSources(job, work)
    : trainsOnExamples(job)
      ? await prepareExamples(job, work)
      : await prepareDataset({
          ...work,
          corpus: corpusOf(job, root),
          tokenizer: tokenizerRequest(job),
          heldOutFraction: job.data.held_out,
        });
  try {
    checkTokenizerSize(job, dataset.manifest.vocabSize);
    if (dataset instanceof Dataset) dataset.requireBatch(job.train);
    return dataset;
  } catch (error) {
    dataset.close();
    if (!(error instanceof LapidaryError) || error.code !== "LAP_DATA_TOO_SMALL") throw error;
    reporter.warn(`exported without data: ${error.message}. Name a larger data.corpus, or run with --synthetic`);
    return undefined;
  }
}

/** The initial value of each state: the weights of the job's checkpoint if it has one, otherwise what the init program draws. */
async function initialStates(job: ResolvedJob, specs: readonly StateSpec[]): Promise<Map<string, XlaState>> {
  const initSpecs = initSpecsOf(initGraph(specs, job.seed));
  const states = new Map<string, XlaState>(initSpecs);
  if (job.train.init === undefined) return states;
  const checkpoint = await HfCheckpoint.open(job.train.init);
  try {
    checkSameModel(job.train.init, job.model.config, checkpoint.config);
    for (const spec of buildModel(job.model.config, buildOptionsOf(job)).params) {
      const { name, layers } = spec;
      // Read the weights even if the file is copied, to reject NaN and infinite weights here and not on the pod.
      const array = await readLayers(spec, (layer) => checkpoint.read(layer));
      const source = layers === undefined ? checkpoint.sourceOf(name) : undefined;
      states.set(paramName(name), source === undefined ? { kind: "array", array } : { kind: "copy", ...source });
    }
  } finally {
    await checkpoint.close();
  }
  return states;
}

/** By state that is a stack, such as the layers of stages: the states of its slices, as a checkpoint of a run has them. */
function partsOfStates(job: ResolvedJob, states: readonly StateSpec[]): Map<string, readonly string[]> {
  const { params } = buildModel(job.model.config, buildOptionsOf(job));
  const ofParams = params.map(({ name, parts }) => [paramName(name), parts?.map(paramName)] as const);
  const ofMoments = states.filter(({ role }) => role === "optimizer").map((state) => [state.name, statesOfLayers(state)] as const);
  return new Map([...ofParams, ...ofMoments].flatMap(([name, parts]) => (parts === undefined ? [] : [[name, parts] as const])));
}

const stateForm = (job: ResolvedJob): XlaExport["initialState"] =>
  parameterCount(buildModel(job.model.config)) * 4 <= maxValueBytes ? "values" : "init-spec";

function dataOf(job: ResolvedJob, dataset: AnyDataset | undefined): XlaExport["data"] {
  if (dataset === undefined) return { kind: "none" };
  if (!(dataset instanceof Dataset)) return batchesOf(job, dataset);
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
