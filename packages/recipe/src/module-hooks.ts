import { readFile } from "node:fs/promises";
import type { LoadHook, ResolveHook } from "node:module";
import { fileURLToPath } from "node:url";

/**
 * Hooks of Node's module loader for the modules of recipes. They resolve `@lapidary/recipe` from this package, wherever the importing module is, and they
 * compile TypeScript, whose relative imports may have the ending `.js` of their output.
 */
export const resolve: ResolveHook = async (specifier, context, next) => {
  if (specifier === "@lapidary/recipe") return next(specifier, { ...context, parentURL: import.meta.url });
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!/^\.{1,2}\/.*\.m?js$/.test(specifier) || (error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    return next(specifier.replace(/js$/, "ts"), context);
  }
};

export const load: LoadHook = async (url, context, next) => {
  if (!/^file:.*\.m?ts$/.test(url) || url.includes("/node_modules/")) return next(url, context);
  const path = fileURLToPath(url);
  return { format: "module", source: await compiled(path), shortCircuit: true };
};

/** The JavaScript of a module of TypeScript. Types are removed, and not checked. */
async function compiled(path: string): Promise<string> {
  const { default: ts } = await import("typescript");
  const { outputText, diagnostics = [] } = ts.transpileModule(await readFile(path, "utf8"), {
    fileName: path,
    reportDiagnostics: true,
    compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, inlineSourceMap: true },
  });
  const [first] = diagnostics;
  if (first === undefined) return outputText;
  const { line, character } = first.file?.getLineAndCharacterOfPosition(first.start ?? 0) ?? { line: 0, character: 0 };
  throw new SyntaxError(`${path}:${line + 1}:${character + 1}: ${ts.flattenDiagnosticMessageText(first.messageText, " ")}`);
}
