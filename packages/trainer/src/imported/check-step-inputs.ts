import type { ImportedStep } from "@lapidary/stablehlo";
import { LapidaryError } from "@lapidary/std";
import type { ResolvedStepJob } from "@lapidary/training";
import { drawnBatch } from "./drawn-batch.js";
import { scalarsOf } from "./imported-steps.js";
import { checkRows, rowArgumentsOf } from "./pipeline-rows.js";
import { StepArrays } from "./step-arrays.js";

/**
 * Checks before a job waits in the queue that the step has a state, a loss, and a value for every argument.
 *
 * @throws LAP_IMPORT_INPUT, or an error of the file of inputs
 */
export async function checkStepInputs(step: Pick<ImportedStep, "arguments" | "results">, job: ResolvedStepJob): Promise<void> {
  const states = new Set(step.results.flatMap(({ renews }) => renews ?? []));
  if (states.size === 0) throw stateless(job.step);
  scalarsOf(step.results, job);
  const rows = rowArgumentsOf(step.arguments, job);
  checkRows(step.arguments, job);
  const arrays = job.inputs === undefined ? undefined : await StepArrays.open(job.inputs);
  try {
    for (const [index, argument] of step.arguments.entries()) {
      const isGiven =
        rows?.fields.has(argument) === true ||
        (await arrays?.initial(argument, index)) !== undefined ||
        (!states.has(index) && (await arrays?.batch(0, argument, index)) !== undefined);
      if (!isGiven && !states.has(index)) drawnBatch(argument, 0, job);
    }
  } finally {
    await arrays?.close();
  }
}

const stateless = (file: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_IMPORT_INPUT",
    message: "no result of the step renews an argument, so there is nothing to train",
    location: file,
    remedy: "donate the state: `jax.jit(step, donate_argnums=0)`, and export with locations",
  });
