import { LapidaryError } from "@lapidary/std";
import { lossChunksOf, type ResolvedJob } from "@lapidary/training";
import { chunksToTry } from "./plan-choice.js";

/** The memory and time of a step. */
export interface FitFigures {
  readonly hbm_bytes_peak: number;
  readonly step_time_s: number;
}

/** Overrides that lower the memory of a job, and the plan with them. */
export interface FitAdvice extends FitFigures {
  readonly overrides: readonly string[];
  readonly fits: boolean;
}

/** The maximum number of compilations for advice. */
const maxTries = 7;

/**
 * Searches overrides that make a job fit. Each change is added to the changes before it, until the step fits. Changes that cost less time come first.
 * At the end, changes without which the step fits too are removed.
 *
 * @param peak bytes of the step without changes
 * @param limit bytes that a program can use
 * @param plan returns the figures of the job with more overrides
 * @param fixes overrides that let chips with equal work share it; tried first
 */
export function adviseFit(
  job: ResolvedJob,
  { peak: before, limit }: { readonly peak: number; readonly limit: number },
  plan: (overrides: readonly string[]) => FitFigures,
  fixes: readonly string[] = [],
): FitAdvice[] {
  const found: FitAdvice[] = [];
  let overrides: string[] = [];
  for (const change of [...fixes, ...changesFor(job)].slice(0, maxTries + fixes.length)) {
    const next = [...overrides.filter((each) => keyOf(each) !== keyOf(change)), change];
    const changed = planOrNone(plan, next);
    if (changed === undefined) continue;
    const peak = changed.hbm_bytes_peak;
    if (peak >= (found.at(-1)?.hbm_bytes_peak ?? before)) continue;
    overrides = next;
    found.push({ overrides, ...changed, fits: peak <= limit });
    if (peak <= limit) break;
  }
  const last = found.at(-1);
  return last?.fits === true ? [...found.slice(0, -1), withoutNeedless(last, limit, plan, fixes)] : found;
}

/** The advice without the changes that it does not need. Fixes stay, because they cost nothing. */
function withoutNeedless(
  advice: FitAdvice,
  limit: number,
  plan: (overrides: readonly string[]) => FitFigures,
  fixes: readonly string[],
): FitAdvice {
  let needed = advice;
  for (const change of advice.overrides) {
    const fewer = needed.overrides.filter((each) => each !== change);
    if (fewer.length === 0 || fixes.includes(change)) continue;
    const figures = planOrNone(plan, fewer);
    if (figures !== undefined && figures.hbm_bytes_peak <= limit) needed = { overrides: fewer, ...figures, fits: true };
  }
  return needed;
}

/** Undefined if the job with the overrides is invalid. */
function planOrNone(plan: (overrides: readonly string[]) => FitFigures, overrides: readonly string[]): FitFigures | undefined {
  try {
    return plan(overrides);
  } catch (error) {
    if (error instanceof LapidaryError) return undefined;
    throw error;
  }
}

const keyOf = (override: string): string => override.split("=")[0] ?? override;

function changesFor(job: ResolvedJob): string[] {
  const has = (axis: string): boolean => job.mesh.some(({ name, size }) => name === axis && size > 1);
  const rows = job.mesh.filter(({ name }) => (job.rules["batch"] ?? []).includes(name)).reduce((n, { size }) => n * size, 1);
  const smaller = [job.train.batch / 2, job.train.batch / 4, job.train.batch / 8].filter(
    (batch) => Number.isInteger(batch) && batch % rows === 0,
  );
  const chunks = lossChunksOf(job)?.count ?? 1;
  return [
    ...chunksToTry(job).flatMap((count) => (count > chunks ? [`loss_chunks=${count}`] : [])),
    ...(job.remat === "none" || job.remat === "dots" ? ["remat=full"] : []),
    ...(job.zero < 3 ? ["zero=3"] : []),
    ...(has("model") && (job.rules["activation_seq"] ?? []).length === 0 && (job.rules["activation_embed"] ?? []).length === 0
      ? ["rules.activation_seq=model"]
      : []),
    ...microbatchesToTry(job, job.train.batch / rows).map((count) => `train.microbatches=${count}`),
    ...smaller.map((batch) => `train.batch=${batch}`),
  ];
}

/** More parts of a batch than the job has, for the recipes that have the key. @param rows of a part of the mesh */
function microbatchesToTry({ recipe, train: { microbatches = 1 } }: ResolvedJob, rows: number): number[] {
  if (recipe !== undefined && recipe !== "sft") return [];
  return [2, 4, 8].map((factor) => factor * microbatches).filter((count) => rows % count === 0);
}
