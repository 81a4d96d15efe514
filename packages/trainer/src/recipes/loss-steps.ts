import type { RunReport } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import { trainMetrics } from "@lapidary/training";
import type { Recipe, RecipeRun, RecipeSteps, StepMetrics } from "./recipe.js";

/** The scalars of the program `eval_step`. */
const evalMetrics = ["loss_sum", "tokens_counted"] as const;

/** The controller of recipes whose step is one program on one batch, and whose evaluation is the loss of held-out batches. */
export async function openLossSteps(
  { stepProgram, batchArrays, metrics }: Pick<Recipe, "stepProgram" | "batchArrays" | "metrics">,
  run: RecipeRun,
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
      const parts = Array.from({ length: batches }, async (_, step) => {
        const fed = evaluation.feed("heldout", step);
        const [, report] = await Promise.all([fed, evaluation.run({ step })]);
        return scalarsOf(evalMetrics, report);
      });
      const sums = await Promise.all(parts);
      const tokens = sums.reduce((total, sum) => total + sum.tokens_counted, 0);
      return { loss: sums.reduce((total, sum) => total + sum.loss_sum, 0) / tokens, tokens };
    },
  };
}

/** The scalar outputs of a run, by name. */
const scalarsOf = <N extends string>(names: readonly N[], { scalars }: RunReport): Record<N, number> =>
  Object.fromEntries(names.map((name) => [name, ensure(scalars.get(name), name)])) as Record<N, number>;
