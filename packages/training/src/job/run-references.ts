import type { JudgeFile } from "./job-schema.js";
import type { ResolvedJob } from "./resolved-job.js";

/** A key of a job whose value is a run, or the directory of a checkpoint. */
export interface RunReference {
  /** Of a resolved job: `["reward", "0", "model"]`. */
  readonly path: readonly string[];
  readonly run: string;
  /** Which checkpoints the key takes: those of the job's model, those of any model that writes text, those of the recipe reward, or those of a frozen set. */
  readonly kind: "model" | "judge" | "reward model" | "parameter set";
}

/**
 * Replaces every run that a job names. This function alone knows the keys that name runs.
 *
 * @param replace returns the new value of the key
 */
export function mapRunReferences(job: ResolvedJob, replace: (reference: RunReference) => string): ResolvedJob {
  const { train, reward, candidate, baseline, judge, sets } = job;
  return {
    ...job,
    ...(candidate === undefined ? {} : { candidate: replace({ path: ["candidate"], run: candidate, kind: "model" }) }),
    ...(baseline === undefined ? {} : { baseline: replace({ path: ["baseline"], run: baseline, kind: "model" }) }),
    ...(judge === undefined ? {} : { judge: mapJudge(judge, replace) }),
    ...(sets === undefined
      ? {}
      : {
          sets: Object.fromEntries(
            Object.entries(sets).map(([set, run]) => [set, replace({ path: ["sets", set], run, kind: "parameter set" })]),
          ),
        }),
    ...(train.init === undefined
      ? {}
      : { train: { ...train, init: replace({ path: ["train", "init"], run: train.init, kind: "model" }) } }),
    ...(reward === undefined
      ? {}
      : {
          reward: reward.map((source, at) =>
            "model" in source && typeof source.model === "string"
              ? ({
                  ...source,
                  model: replace({ path: ["reward", `${at}`, "model"], run: source.model, kind: "reward model" }),
                } as typeof source)
              : source,
          ),
        }),
  };
}

function mapJudge(judge: JudgeFile, replace: (reference: RunReference) => string): JudgeFile {
  const { model, reward } = judge as Readonly<Record<string, string | undefined>>;
  if (model !== undefined) return { ...judge, model: replace({ path: ["judge", "model"], run: model, kind: "judge" }) } as JudgeFile;
  if (reward !== undefined) return { reward: replace({ path: ["judge", "reward"], run: reward, kind: "reward model" }) };
  return judge;
}

/** All runs and checkpoints that a job names: those of `train.init`, of its reward models and frozen sets, and of the models and the judge of a comparison. */
export function runReferences(job: ResolvedJob): readonly RunReference[] {
  const found: RunReference[] = [];
  mapRunReferences(job, (reference) => {
    found.push(reference);
    return reference.run;
  });
  return found;
}
