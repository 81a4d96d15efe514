import { resolve } from "node:path";
import { type RecitationReport, writeRecitation } from "@lapidary/data-pipeline";
import { gemmaRecitation } from "@lapidary/evaluation";
import { counted, LapidaryError, raceAbort } from "@lapidary/std";
import { openSampler, type Sampler } from "@lapidary/trainer";
import { resolveCheckpoint } from "../../checkpoints/resolve-checkpoint.js";
import type { Directories } from "../../directories.js";
import type { Reporter } from "../../reporter.js";
import { openRunData } from "../run-data.js";
import { readCanaries } from "./canary-set.js";
import { type DocumentGroup, reciteCanaries, reciteDocuments, type ReciteSettings } from "./recite.js";
import { groupsOfDataset, groupsOfRun } from "./document-groups.js";
import { recitingModel } from "./reciting-model.js";

export interface MemoriseRequest {
  /** A run, or the directory of a checkpoint. */
  readonly model: string;
  /** A file of canaries. */
  readonly set: string | undefined;
  /** A directory that a pipeline published. Undefined: the data of the run, if there is no file of canaries. */
  readonly data: string | undefined;
  /** Documents of each source. */
  readonly documents: number;
  readonly prompt: number | undefined;
  readonly continuation: number | undefined;
  readonly values: number;
  readonly seed: number;
}

interface MemoriseEnvironment {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

export interface MemoriseResult {
  readonly report: RecitationReport;
  /** The file that the card of the dataset reads; undefined if the model is not a run on that dataset. */
  readonly file: string | undefined;
}

/**
 * Tests how much of its training data a model recites: documents by source, and canaries by their number of copies.
 *
 * @throws LapidaryError LAP_DATA_NO_SOURCES, LAP_DATA_CANARIES, LAP_DATA_CONTEXT, LAP_CHECKPOINT_…, LAP_DATA_…
 */
export async function memorise(
  directories: Directories,
  request: MemoriseRequest,
  { env, signal }: MemoriseEnvironment,
  reporter: Reporter,
): Promise<MemoriseResult> {
  const { set, data, seed, values } = request;
  const location = await resolveCheckpoint(directories, request.model);
  const canaries = set === undefined ? [] : readCanaries(resolve(directories.cwd, set));
  const { prompt = gemmaRecitation.prompt, continuation = gemmaRecitation.continuation } = request;
  const own = await ownData(directories, location.run ?? request.model, set !== undefined || data !== undefined);
  try {
    reporter.progress("load the checkpoint");
    const sampler = await openSampler({
      checkpoint: location.directory,
      first: { rows: 1, promptTokens: prompt },
      environment: env,
      signal,
      log: (worker, line) => reporter.detail(`${worker}: ${line}`),
    });
    try {
      checkContext(sampler, prompt + continuation, location.directory);
      const sampling = { count: request.documents, tokens: prompt + continuation, seed };
      const groups = [
        ...(own === undefined || set !== undefined || data !== undefined ? [] : groupsOfRun(own, location.step ?? 0, sampling)),
        ...(data === undefined ? [] : groupsOfDataset(resolve(directories.cwd, data), sampler.tokenizer, sampling)),
      ];
      if (groups.length > 0) requireLong(groups, prompt + continuation, request.model);
      const settings: ReciteSettings = {
        prompt,
        continuation,
        share: gemmaRecitation.share,
        seed,
        values,
        onProgress: (what, done, total) => reporter.progress(`test ${what}`, `${done}/${total}`),
      };
      const model = recitingModel(sampler, signal);
      const tested = async (): Promise<RecitationReport> => ({
        run: location.run ?? request.model,
        step: location.step ?? null,
        prompt,
        continuation,
        share: gemmaRecitation.share,
        seed,
        sources: await inOrder(groups, (group) => reciteDocuments(model, group, settings)),
        canaries: [...(await reciteCanaries(model, canaries, settings))],
        most_exposure: Math.log2(values + 1),
      });
      const report = await raceAbort(tested(), signal);
      // Documents of another dataset say nothing about that of the run.
      const isOwn = own !== undefined && data === undefined;
      return { report, file: isOwn ? writeRecitation(own.dataset.manifest.corpus, report) : undefined };
    } finally {
      await sampler.close();
    }
  } finally {
    own?.dataset.close();
  }
}

async function inOrder<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await run(item));
  return results;
}

/** The data of a run. Undefined if it is optional and the model is not a run on the sources of a pipeline. */
async function ownData(
  directories: Directories,
  run: string,
  isOptional: boolean,
): Promise<Awaited<ReturnType<typeof openRunData>> | undefined> {
  try {
    return await openRunData(directories, run);
  } catch (error) {
    if (!(error instanceof LapidaryError) || !["LAP_DATA_NO_SOURCES", "LAP_CHECKPOINT_NOT_FOUND"].includes(error.code)) throw error;
    if (isOptional) return undefined;
    throw error.with({ remedy: "name a run whose job has data.pipeline, or give texts with --set, or a dataset with --from" });
  }
}

function checkContext({ context }: Pick<Sampler, "context">, tokens: number, location: string): void {
  if (tokens <= context) return;
  throw new LapidaryError({
    code: "LAP_DATA_CONTEXT",
    message: `prompt and continuation are ${tokens} tokens, and the context of the model has ${context}`,
    location,
    remedy: `give a shorter --prompt and --continuation, together at most ${context}`,
  });
}

function requireLong(groups: readonly DocumentGroup[], tokens: number, location: string): void {
  if (groups.some(({ split, sample }) => split === "train" && sample.length > 0)) return;
  const documents = groups.reduce((sum, group) => sum + group.documents, 0);
  throw new LapidaryError({
    code: "LAP_DATA_CONTEXT",
    message: `none of ${counted(documents, "document")} has the ${tokens} tokens of prompt and continuation`,
    location,
    remedy: "give a shorter --prompt and --continuation",
  });
}
