import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensure, LapidaryError } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { recipeHash } from "@lapidary/training";
import { importRecipe } from "./import-recipe.js";

describe("the import of a user's recipe", () => {
  const directory = temporaryDirectory();
  /** Node imports a module once: each has its own name. */
  let count = 0;
  const write = (text: string, ending = ".mjs"): string => {
    const path = join(directory(), `recipe-${count++}${ending}`);
    writeFileSync(path, text);
    return path;
  };
  const failure = async (path: string, hash?: string): Promise<LapidaryError> => {
    const error: unknown = await importRecipe(path, hash).catch((thrown: unknown) => thrown);
    ok(error instanceof LapidaryError, String(error));
    return error;
  };
  const valid =
    'import { defineRecipe } from "@lapidary/recipe";\nexport const recipe = defineRecipe({ apiVersion: 1, loss: (g, { mask }) => mask });\n';

  it("a module outside of the project imports the interface by its name", async () => {
    strictEqual((await importRecipe(write(valid), undefined)).apiVersion, 1);
  });

  it("a module of TypeScript is compiled, and so are its relative imports that have the ending of their output", async () => {
    writeFileSync(join(directory(), "helper.ts"), "export const version: 1 = 1;\n");
    const text = valid.replace("apiVersion: 1", "apiVersion: version as 1");
    strictEqual((await importRecipe(write(`import { version } from "./helper.js";\n${text}`, ".ts"), undefined)).apiVersion, 1);
  });

  it("a missing module, a wrong export and an unknown key are refused", async () => {
    const refused = async (path: string, message: RegExp): Promise<void> => {
      const { code, message: text, location } = await failure(path);
      deepStrictEqual([code, location], ["LAP_RECIPE_MODULE", path]);
      match(text, message);
    };
    await refused(join(directory(), "none.mjs"), /does not exist/);
    await refused(write("export const other = 1;"), /`recipe` of the module is undefined/);
    await refused(write("export const recipe = [];"), /is array, expected the result of defineRecipe/);
    await refused(write("export const recipe = { apiVersion: 1 };"), /has no function `loss`/);
    await refused(write("export const recipe = { apiVersion: 1, loss: 7 };"), /key loss of the recipe is number, expected function/);
    await refused(
      write("export const recipe = { apiVersion: 1, sets: {}, loss() {} };"),
      /key sets of the recipe is object, expected array/,
    );
    await refused(write("export const recipe = { apiVersion: 1, los() {} };"), /unknown key "los"/);
  });

  it("a module that every user can write is refused before its code runs", async () => {
    const path = write("throw new Error('it runs');");
    chmodSync(path, 0o666);
    match((await failure(path)).message, /is not run: every user can write to it/);
  });

  it("another version of the interface is refused", async () => {
    for (const version of ["2", '"1"', "undefined"])
      strictEqual((await failure(write(`export const recipe = { apiVersion: ${version}, loss() {} };`))).code, "LAP_RECIPE_VERSION");
  });

  it("an error while the module is loaded has the line of the module", async () => {
    const line = async (text: string, ending?: string): Promise<string | undefined> => {
      const path = write(text, ending);
      const { code, location } = await failure(path);
      strictEqual(code, "LAP_RECIPE_MODULE");
      return location?.slice(path.length);
    };
    match((await line("\n\nthrow new Error('no');")) ?? "", /^:3:\d+$/);
    strictEqual(await line("export const a = 1;\nexport const recipe = {;"), ":2");
    match((await line("type A = { b: number };\ntype B = number;\nconst a: B = (undefined as unknown as A).b;", ".ts")) ?? "", /^:3:\d+$/);
    match((await failure(write("\nlet x: = 1;", ".ts"))).message, /:2:8: Type expected/);
  });

  it("a module that is not the one of the run is refused before its code runs, also if only an import of it changed", async () => {
    writeFileSync(join(directory(), "part.mjs"), "export const apiVersion = 1;\n");
    const path = write(`import { apiVersion } from "./part.mjs";\nexport const recipe = { apiVersion, loss() {} };\n`);
    const hash = ensure(recipeHash(path), "hash");
    writeFileSync(join(directory(), "part.mjs"), "throw new Error('it runs');\n");
    await rejects(importRecipe(path, hash), { code: "LAP_RECIPE_CHANGED", location: path });
    writeFileSync(join(directory(), "part.mjs"), "export const apiVersion = 1;\n");
    strictEqual((await importRecipe(path, hash)).apiVersion, 1);
  });
});
