import { heldoutLossMetric } from "@lapidary/api/heldout-losses";
import { type HeldoutSource, MixtureDataset } from "@lapidary/data";
import type { RunReport } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import { buildOptionsOf, expertMetricNames, trainMetrics } from "@lapidary/training";
import type { Evaluation, Recipe, RecipeInputs, RecipeRun, RecipeSteps, StepMetrics } from "./recipe.js";

/** The scalars of the program `eval_step`. */
const evalMetrics = ["loss_sum", "tokens_counted"] as const;

/** The first `batches` held-out batches of each source. */
type HeldoutSources = (batches: number) => readonly HeldoutSource[];

/** A recipe with the load of each expert as further metrics, if the model of a job has experts. */
export const withExpertMetrics = (recipe: Recipe, { job }: Pick<RecipeInputs, "job">): Recipe => ({
  ...recipe,
  metrics: [...recipe.metrics, ...expertMetricNames(job.model.config, buildOptionsOf(job))],
});

/** The controller of recipes whose step is one program on one batch, and whose evaluation is the loss of held-out batches. */
export async function openLossSteps(
  { stepProgram, batchArrays, metrics }: Pick<Recipe, "stepProgram" | "batchArrays" | "metrics">,
  run: RecipeRun,
  sources?: HeldoutSources,
): Promise<RecipeSteps> {
  const update = await run.load(stepProgram, { consumes: [...run.states, ...batchArrays], creates: run.states, scalars: metrics });
  return {
    async step(step, batch, trace): Promise<StepMetrics> {
      const fed = update.feed("train", batch);
      const ran = update.run({ step, update: true, trace });
      const [, report] = await Promise.all([fed, ran]);
      const further = metrics.filter((name) => !trainMetrics.some((known) => known === name));
      return { ...scalarsOf(trainMetrics, report), ...(further.length === 0 ? {} : { more: scalarsOf(further, report) }) };
    },
    async evaluate(batches) {
      assert(batches > 0, "an evaluation has batches", batches);
      const evaluation = await run.load("eval_step", { consumes: batchArrays, creates: [], scalars: evalMetrics });
      const lossOf = async (steps: readonly number[]): Promise<Evaluation> => {
        const parts = steps.map(async (step) => {
          const fed = evaluation.feed("heldout", step);
          const [, report] = await Promise.all([fed, evaluation.run({ step })]);
          return scalarsOf(evalMetrics, report);
        });
        const sums = await Promise.all(parts);
        const tokens = sums.reduce((total, sum) => total + sum.tokens_counted, 0);
        return { loss: sums.reduce((total, sum) => total + sum.loss_sum, 0) / tokens, tokens };
      };
      if (sources === undefined) return lossOf(Array.from({ length: batches }, (_, step) => step));
      const known = sources(batches);
      return meanOfSources(known, await Promise.all(known.map(({ steps }) => lossOf(steps))));
    },
  };
}

/** The mean over sources, by their shares in the rows of the run. A source without a share has a loss of its own alone. */
function meanOfSources(sources: readonly HeldoutSource[], evaluations: readonly Evaluation[]): Evaluation {
  const of = (at: number): Evaluation => ensure(evaluations[at], "evaluation of a source");
  const shares = sources.reduce((sum, { share }) => sum + share, 0);
  return {
    loss: sources.reduce((sum, { share }, at) => (share === 0 ? sum : sum + (share / shares) * of(at).loss), 0),
    tokens: evaluations.reduce((sum, { tokens }) => sum + tokens, 0),
    more: Object.fromEntries(sources.map(({ name }, at) => [heldoutLossMetric(name), of(at).loss])),
  };
}

/** The held-out batches of the sources of a run; undefined if its dataset has no sources. */
export function heldoutSourcesOf({ dataset, job: { train } }: Pick<RecipeInputs, "dataset" | "job">): HeldoutSources | undefined {
  if (!(dataset instanceof MixtureDataset)) return undefined;
  return (batches) => dataset.heldoutSources(batches, train.batch, train.seq);
}

/** The scalar outputs of a run, by name. */
const scalarsOf = <N extends string>(names: readonly N[], { scalars }: RunReport): Record<N, number> =>
  Object.fromEntries(names.map((name) => [name, ensure(scalars.get(name), name)])) as Record<N, number>;
