import type { ResolvedJob } from "./resolved-job.js";

/** A key of a job whose value is a run, or the directory of a checkpoint. */
export interface RunReference {
  /** Of a resolved job: `["reward", "0", "model"]`. */
  readonly path: readonly string[];
  readonly run: string;
  /** Which checkpoints the key takes: those of a model that writes text, or those of the recipe reward. */
  readonly kind: "model" | "reward model";
}

/**
 * Replaces every run that a job names. This function alone knows the keys that name runs.
 *
 * @param replace returns the new value of the key
 */
export function mapRunReferences(job: ResolvedJob, replace: (reference: RunReference) => string): ResolvedJob {
  const { train, reward } = job;
  return {
    ...job,
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

/** All runs and checkpoints that a job names: those of `train.init` and of its reward models. */
export function runReferences(job: ResolvedJob): readonly RunReference[] {
  const found: RunReference[] = [];
  mapRunReferences(job, (reference) => {
    found.push(reference);
    return reference.run;
  });
  return found;
}
