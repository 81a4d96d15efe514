import { importRecipe, type RecipeDefinition, stepProgram, userGraphs } from "@lapidary/recipe/host";
import { ensure } from "@lapidary/std";
import { isRecipePath, modelOfSet, paramName, type RecipePath, type ResolvedJob, trainMetrics } from "@lapidary/training";
import { loadWeights } from "../execution/checkpoints.js";
import { heldoutSourcesOf, openLossSteps } from "./loss-steps.js";
import type { Recipe, RecipeInputs, RecipeRun, RecipeSteps } from "./recipe.js";
import { UserSteps } from "./user-steps.js";

/** The modules that this thread has imported, by path. Node imports a module once, too. */
const definitions = new Map<RecipePath, RecipeDefinition>();

/**
 * Imports the module of a job's recipe into this thread, if a user wrote it. Then `graphs` of the recipe works in this thread. The thread of the coordinator
 * never imports such a module.
 *
 * @returns whether the recipe has a controller
 * @throws LAP_RECIPE_MODULE, LAP_RECIPE_VERSION or LAP_RECIPE_CHANGED
 */
export async function loadRecipe({ recipe, recipe_hash }: Pick<ResolvedJob, "recipe" | "recipe_hash">): Promise<boolean> {
  if (!isRecipePath(recipe)) return false;
  const definition = definitions.get(recipe) ?? (await importRecipe(recipe, recipe_hash));
  definitions.set(recipe, definition);
  return definition.controller !== undefined;
}

/** The arrays of a batch. Rows of a corpus have no segments: a program has the arrays that it reads. */
const batchArrays = ["tokens", "targets", "mask", "segments"] as const;

/**
 * A recipe that a user wrote, as a recipe of the trainer. Its graphs are traced where its module is loaded: in the thread that compiles, or in the process of
 * a command. Its controller, if it has one, runs in a thread of its own.
 */
export const userRecipe = (path: RecipePath): Recipe => ({
  name: path,
  stepProgram,
  metrics: trainMetrics,
  batchArrays,
  graphs({ options = {}, sets = {}, segments = false, ...request }) {
    return userGraphs(ensure(definitions.get(path), "the module of the recipe"), { ...request, path, options, sets, segments });
  },
  open: (run, inputs) => open(path, run, inputs),
});

async function open(path: RecipePath, run: RecipeRun, inputs: RecipeInputs): Promise<RecipeSteps> {
  await loadSets(run, inputs.job);
  const { parameters, outputs } = run.tensors(stepProgram);
  const metrics = outputs.filter(({ id, dims }) => dims.length === 0 && !run.states.includes(id)).map(({ id }) => id);
  const read = batchArrays.filter((name) => parameters.some(({ id }) => id === name));
  const plain = await openLossSteps({ stepProgram, batchArrays: read, metrics }, run, heldoutSourcesOf(inputs));
  return run.hasController ? UserSteps.open({ path, run, inputs, metrics, batchArrays, plain }) : plain;
}

/** Loads the frozen parameter sets into the workers. A set that no program reads is not loaded. */
async function loadSets(run: RecipeRun, { sets = {} }: ResolvedJob): Promise<void> {
  const tensors = run.programs.flatMap((name) => run.tensors(name).parameters);
  for (const [set, directory] of Object.entries(sets))
    await loadWeights(directory, modelOfSet(directory), async (name, array) => {
      const tensor = tensors.find(({ id }) => id === `${set}/${paramName(name)}`);
      if (tensor !== undefined) await run.host.group.put(tensor, array);
    });
}
