import type { MixtureRequest } from "@lapidary/data";
import { historyOf, readPublished, sharesOf, type Stage } from "@lapidary/mixture";
import { ensure, LapidaryError } from "@lapidary/std";
import { tokenizerTooLarge } from "@lapidary/tokenizer";
import type { ResolvedJob } from "../job/resolved-job.js";

/** What decides the rows of a job that trains on the sources of a pipeline. */
export interface PipelineRows {
  readonly data: Pick<ResolvedJob["data"], "pipeline" | "mixture" | "repeat" | "seed" | "held_out">;
  readonly train: Pick<ResolvedJob["train"], "steps" | "batch" | "seq">;
  readonly seed: number;
}

/** The request for the rows of a job that trains on the sources of a pipeline. */
export function mixtureRequestOf({ data, train, seed }: PipelineRows): MixtureRequest {
  const stages = mixtureStages(data.mixture, train.steps);
  return {
    pipeline: ensure(data.pipeline, "data.pipeline"),
    ...(stages === undefined ? {} : { stages }),
    seed: data.seed ?? seed,
    steps: train.steps,
    batch: train.batch,
    seq: train.seq,
    repeat: data.repeat ?? 1,
    heldOutFraction: data.held_out,
  };
}

/** The stages of a job in steps. A share of a run counts from its first step to its last. */
const mixtureStages = (mixture: ResolvedJob["data"]["mixture"], steps: number): readonly Stage[] | undefined =>
  mixture?.map(({ from, ramp = 0, weights }) => ({ from: inSteps(from, steps), ramp: inSteps(ramp, steps), weights }));

const inSteps = (of: number | string, steps: number): number =>
  typeof of === "number" ? of : Math.round((Number(of.slice(0, -1)) / 100) * steps);

/**
 * Checks the sources and stages of a job before it waits in the queue. Reads the description of the dataset alone. Whether a source has enough rows is
 * checked when the rows are prepared.
 *
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_DATASET, LAP_MIXTURE_STAGES, LAP_TOKENIZER_VOCAB
 */
export function checkPipelineData({ data, train, model }: Pick<ResolvedJob, "data" | "train" | "model">): void {
  const { vocab_size } = checkPipelineSources({ data, train });
  if (vocab_size > model.config.vocabSize)
    throw tokenizerTooLarge(ensure(data.pipeline, "data.pipeline"), vocab_size, model.config.vocabSize);
}

/** As `checkPipelineData`, for a job without a model. @returns the size of the vocabulary */
export function checkPipelineSources({ data, train }: { data: PipelineRows["data"]; train: Pick<PipelineRows["train"], "steps"> }): {
  readonly vocab_size: number;
} {
  const { sources, tokenizer } = readPublished(ensure(data.pipeline, "data.pipeline"));
  const names = Object.keys(sources);
  const stages = mixtureStages(data.mixture, train.steps);
  if (stages !== undefined) sharesOf(names, stages);
  const unknown = typeof data.repeat === "object" ? Object.keys(data.repeat).find((name) => !names.includes(name)) : undefined;
  if (unknown !== undefined)
    throw new LapidaryError({
      code: "LAP_MIXTURE_STAGES",
      message: `repeat names the unknown source ${unknown}`,
      location: "data.repeat",
      remedy: `the sources are ${names.join(", ")}`,
    });
  return tokenizer;
}

/** Whether two versions of a job have the same weights in the first steps. */
export function hasSameHistory(a: Pick<ResolvedJob, "data" | "train">, b: Pick<ResolvedJob, "data" | "train">, steps: number): boolean {
  if (steps === 0) return true;
  const names = [...new Set([a, b].flatMap(({ data }) => (data.mixture ?? []).flatMap(({ weights }) => Object.keys(weights))))].sort();
  const history = ({ data, train }: Pick<ResolvedJob, "data" | "train">): string => {
    const stages = mixtureStages(data.mixture, train.steps);
    return JSON.stringify(stages === undefined ? "in proportion to tokens" : historyOf(names, stages, steps));
  };
  return history(a) === history(b);
}
