import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { register } from "node:module";
import { pathToFileURL } from "node:url";
import { distrustOf, LapidaryError } from "@lapidary/std";
import { recipeHash } from "@lapidary/training";
import { apiVersion, type RecipeDefinition } from "./definition.js";
import { badRecipeModule, lineOf, messageOf } from "./recipe-errors.js";

/** The keys of version 1, and the type of each. */
const keys = {
  apiVersion: "number",
  options: "object",
  sets: "object",
  loss: "function",
  heldoutLoss: "function",
  programs: "object",
  controller: "function",
};

/**
 * Imports the module of a recipe into this thread. Its code runs with the rights of the user. A thread imports a module once: a thread that lives longer than
 * one run starts another thread for it.
 *
 * @param path absolute
 * @param hash the hash that the module must have
 * @throws LAP_RECIPE_MODULE, LAP_RECIPE_VERSION or LAP_RECIPE_CHANGED
 */
export async function importRecipe(path: string, hash: string | undefined): Promise<RecipeDefinition> {
  if (!existsSync(path)) throw badRecipeModule(path, "the module of the recipe does not exist", "correct the path in `recipe`");
  const distrust = distrustOf(path);
  if (distrust !== undefined)
    throw badRecipeModule(
      path,
      `the module of the recipe is not run: ${distrust}`,
      "own the file, and remove the right of others to write: chmod o-w",
    );
  checkHash(path, hash);
  process.setSourceMapsEnabled(true);
  register(new URL("./module-hooks.js", import.meta.url));
  let module: Readonly<Record<string, unknown>>;
  try {
    module = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    const remedy = "correct the module; a module of TypeScript can also be compiled to .mjs";
    throw badRecipeModule(
      lineOf(path, error) ?? syntaxErrorLine(path, error) ?? path,
      `the module of the recipe cannot be loaded: ${messageOf(error)}`,
      remedy,
      error,
    );
  }
  return checked(path, module["recipe"]);
}

/** The line of a syntax error, which its stack does not have. Node's check of the syntax prints it. */
function syntaxErrorLine(path: string, error: unknown): string | undefined {
  if (!(error instanceof SyntaxError)) return undefined;
  const { stderr } = spawnSync(process.execPath, ["--check", path], { encoding: "utf8" });
  const [first = ""] = stderr.split("\n");
  const at = [pathToFileURL(path).href, path].find((start) => first.startsWith(`${start}:`));
  return at === undefined ? undefined : `${path}${first.slice(at.length)}`;
}

/** @throws LAP_RECIPE_CHANGED if the module is not the one that the run began with */
function checkHash(path: string, hash: string | undefined): void {
  const found = recipeHash(path);
  if (hash === undefined || found === hash) return;
  throw new LapidaryError({
    code: "LAP_RECIPE_CHANGED",
    message: "the module of the recipe, or a module that it imports, is not the one that the run began with",
    location: path,
    remedy: "restore the module, or launch a new run (from a file of `config show`: remove recipe_hash)",
  });
}

function checked(path: string, recipe: unknown): RecipeDefinition {
  const refuse = (message: string, remedy: string): LapidaryError => badRecipeModule(path, message, remedy);
  const example = `write \`export const recipe = defineRecipe({ apiVersion: ${apiVersion}, loss: (g, inputs) => … })\``;
  if (typeName(recipe) !== "object")
    throw refuse(`the export \`recipe\` of the module is ${typeName(recipe)}, expected the result of defineRecipe`, example);
  const given = recipe as Readonly<Record<string, unknown>>;
  if (given["apiVersion"] !== apiVersion)
    throw new LapidaryError({
      code: "LAP_RECIPE_VERSION",
      message: `the recipe has apiVersion ${JSON.stringify(given["apiVersion"])}, and this Lapidary runs version ${apiVersion}`,
      location: path,
      remedy: `change the version of the recipe to ${apiVersion} after you read docs/recipes.md, or use the Lapidary that the recipe was written for`,
    });
  for (const [key, value] of Object.entries(given)) {
    const expected = Object.entries(keys).find(([known]) => known === key)?.[1];
    if (expected === undefined) throw refuse(`the recipe has an unknown key "${key}"`, `keys are ${Object.keys(keys).join(", ")}`);
    if (value !== undefined && typeName(value) !== (key === "sets" ? "array" : expected))
      throw refuse(`the key ${key} of the recipe is ${typeName(value)}, expected ${key === "sets" ? "array" : expected}`, example);
  }
  if (given["loss"] === undefined) throw refuse("the recipe has no function `loss`", example);
  return recipe as RecipeDefinition;
}

const typeName = (value: unknown): string => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value);
