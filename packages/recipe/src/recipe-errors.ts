import { dirname, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { LapidaryError } from "@lapidary/std";

/** The module of a recipe cannot be loaded, or exports no recipe. */
export const badRecipeModule = (location: string, message: string, remedy: string, cause?: unknown): LapidaryError =>
  new LapidaryError({ code: "LAP_RECIPE_MODULE", message, location, remedy, cause });

/** The code of a recipe threw an error. */
export const recipeFailed = (path: string, where: string, error: unknown): LapidaryError =>
  new LapidaryError({
    code: "LAP_RECIPE_FAILED",
    message: `${where} threw: ${messageOf(error)}`,
    location: lineOf(path, error) ?? path,
    remedy: error instanceof LapidaryError && error.remedy !== undefined ? error.remedy : "correct the recipe",
    cause: error,
  });

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The first line of the stack of an error that is in the directory of the recipe: `path:line:column`. */
export function lineOf(path: string, error: unknown): string | undefined {
  if (!(error instanceof Error) || error.stack === undefined) return undefined;
  const directory = `${dirname(path)}${sep}`;
  for (const [, url, line, column] of error.stack.matchAll(/(file:\/\/[^\s()]+?|\/[^\s()]+?):(\d+)(?::(\d+))?(?=[\s):]|$)/g)) {
    const file = url?.startsWith("file:") === true ? fileURLToPath(url.replace(/\?.*$/, "")) : (url ?? "");
    if (file.startsWith(directory) && !file.includes("/node_modules/"))
      return column === undefined ? `${file}:${line}` : `${file}:${line}:${column}`;
  }
  return undefined;
}
