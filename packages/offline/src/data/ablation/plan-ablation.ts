import { basename, extname } from "node:path";
import { designMixtures, type PublishedDataset, readPublished } from "@lapidary/mixture";
import { LapidaryError, type Warning } from "@lapidary/std";
import { type JobText, readJobText } from "@lapidary/training/job";
import type { Directories } from "../../directories.js";
import { resolveJobText } from "../../job/job-text.js";
import { type PipelineSubmission, readPipelineSubmission } from "../../job/submission.js";
import { type AblationFile, type LocatedAblation, readAblationFile } from "./ablation-file.js";

/** A run of an ablation before it is trained. */
export interface PlannedRun {
  /** The name of its job in the pipeline. */
  readonly name: string;
  readonly size: "small" | "large";
  readonly mixture: number;
  readonly seed: number;
  /** In the order of the sources. */
  readonly shares: readonly number[];
}

export interface PlannedAblation {
  readonly like: string;
  readonly sources: readonly string[];
  /** The shares of the sources in all tokens. */
  readonly natural: readonly number[];
  /** The largest share of each source in the run that the recommendation is for. */
  readonly most: readonly number[];
  readonly goal: Readonly<Record<string, number>>;
  /** Tokens of that run. */
  readonly tokens: number;
  readonly repeat: number;
  readonly runs: readonly PlannedRun[];
  readonly jobs: PipelineSubmission["jobs"];
  /** The runs of the large size on another mixture, one for each seed; undefined if the file asks for none. */
  readonly confirmation: ((shares: readonly number[]) => Promise<Confirmation>) | undefined;
}

/** Runs that check a recommendation. */
export interface Confirmation {
  readonly runs: readonly PlannedRun[];
  readonly jobs: PipelineSubmission["jobs"];
}

/** The number of the recommended mixture, which is none of the designed ones. */
const recommendedMixture = -1;

/** A held-out part and partly filled rows leave fewer tokens than a source has. */
const usableShare = 0.9;

const sizes = ["small", "large"] as const;
type Size = (typeof sizes)[number];

/**
 * The runs of an ablation: mixtures of the sources of a pipeline, for two sizes and several seeds.
 *
 * @throws LapidaryError LAP_CONFIG_…, LAP_DATA_…, LAP_MIXTURE_EXHAUSTED, and those of jobs
 */
export async function planAblation(
  directories: Directories,
  options: { readonly file: string; readonly pipeline: string | undefined },
  onWarning: (warning: Warning) => void,
): Promise<PlannedAblation> {
  const located = readAblationFile(directories, options.file, options.pipeline);
  const { ablation } = located;
  const published = readPublished(ablation.pipeline);
  const sources = Object.keys(published.sources);
  const total = Object.values(published.sources).reduce((sum, { tokens }) => sum + tokens, 0);
  const natural = Object.values(published.sources).map(({ tokens }) => tokens / total);
  const budgets = { small: tokensOf(directories, located, "small"), large: tokensOf(directories, located, "large") };
  const tokens = ablation.tokens ?? budgets.large;
  const designed = designMixtures({
    natural,
    most: limitsOf(located, published, Math.max(budgets.small, budgets.large)),
    count: Math.max(ablation.small.mixtures, ablation.large.mixtures),
    seed: ablation.seed,
  });
  const runs = sizes.flatMap((size) =>
    designed
      .slice(0, ablation[size].mixtures)
      .flatMap((shares, mixture) =>
        Array.from(
          { length: ablation.seeds },
          (_, seed): PlannedRun => ({ name: `${size}-m${mixture}-s${seed}`, size, mixture, seed, shares }),
        ),
      ),
  );
  const submissionOf = async (planned: readonly PlannedRun[]): Promise<PipelineSubmission["jobs"]> => {
    const text = JSON.stringify({ jobs: Object.fromEntries(planned.map((run) => [run.name, jobOf(ablation, sources, run)])) });
    return (await readPipelineSubmission(directories, { text, file: located.file, base: located.base }, [], onWarning)).jobs;
  };
  const confirmation = async (shares: readonly number[]): Promise<Confirmation> => {
    const confirming = Array.from(
      { length: ablation.seeds },
      (_, seed): PlannedRun => ({ name: `recommended-s${seed}`, size: "large", mixture: recommendedMixture, seed, shares }),
    );
    return { runs: confirming, jobs: await submissionOf(confirming) };
  };
  return {
    like: nameOf(located.file),
    sources,
    natural,
    most: limitsOf(located, published, tokens),
    goal: goalOf(located, sources, natural),
    tokens,
    repeat: ablation.repeat,
    runs,
    jobs: await submissionOf(runs),
    confirmation: ablation.confirm ? confirmation : undefined,
  };
}

/** A job of the pipeline of an ablation. */
function jobOf(ablation: AblationFile, sources: readonly string[], { size, seed, shares }: PlannedRun): Readonly<Record<string, unknown>> {
  const { file, job } = ablation[size];
  const weights = Object.fromEntries(sources.map((source, i) => [source, shares[i] ?? 0]));
  return {
    ...(file === undefined ? { job } : { file }),
    overrides: {
      "data.pipeline": ablation.pipeline,
      "data.mixture": [{ from: 0, weights }],
      "data.repeat": ablation.repeat,
      seed,
    },
  };
}

/** Tokens that a run of a size trains on. */
function tokensOf(directories: Directories, { ablation, file, base }: LocatedAblation, size: Size): number {
  const given = ablation[size];
  const text: JobText =
    given.file === undefined ? { text: JSON.stringify(given.job), file: `${file}: ${size}.job`, base } : readJobText(given.file, base);
  const { train } = resolveJobText(directories, text, [`data.pipeline=${ablation.pipeline}`]).job;
  return train.steps * train.batch * train.seq;
}

/** The largest share of each source in a run with so many tokens. @throws LAP_MIXTURE_EXHAUSTED if all sources together are too small */
function limitsOf({ ablation: { repeat }, file }: LocatedAblation, { sources }: PublishedDataset, tokens: number): number[] {
  const most = Object.values(sources).map((source) => Math.min(1, (usableShare * source.tokens * repeat) / tokens));
  if (most.reduce((sum, share) => sum + share, 0) >= 1) return most;
  throw new LapidaryError({
    code: "LAP_MIXTURE_EXHAUSTED",
    message: `a run reads ${tokens} tokens, and all sources together have fewer in ${repeat} passes`,
    location: file,
    remedy: "shorten the runs, raise repeat, or add documents",
  });
}

function goalOf(
  { ablation: { goal }, file }: LocatedAblation,
  sources: readonly string[],
  natural: readonly number[],
): Record<string, number> {
  if (goal === undefined) return Object.fromEntries(sources.map((source, i) => [source, natural[i] ?? 0]));
  const unknown = Object.keys(goal).find((source) => !sources.includes(source));
  const sum = Object.values(goal).reduce((total, each) => total + each, 0);
  if (unknown !== undefined || sum === 0)
    throw new LapidaryError({
      code: "LAP_MIXTURE_STAGES",
      message: unknown === undefined ? "the goal has no weight above 0" : `the goal names the unknown source ${unknown}`,
      location: `${file}: goal`,
      remedy: `the sources are ${sources.join(", ")}`,
    });
  return Object.fromEntries(Object.entries(goal).map(([source, weight]) => [source, weight / sum]));
}

const nameOf = (file: string): string => {
  const name = basename(file, extname(file))
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]/g, "-")
    .slice(0, 28);
  return /^[a-z]/.test(name) ? name : "ablation";
};
