import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Specifiers of relative imports. A specifier in a comment adds a file to the hash, which does no harm. */
const relativeImport = /\b(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g;

/**
 * SHA-256 of the module of a recipe and of the modules that it imports by relative paths. The hash of a run cannot change, because the module decides the
 * numbers of the run. Packages that the module imports are not part of the hash.
 *
 * @param path absolute
 * @returns undefined if there is no such file
 */
export function recipeHash(path: string): string | undefined {
  if (!isFile(path)) return undefined;
  const hash = createHash("sha256");
  const waiting = [path];
  const known = new Set(waiting);
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const text = readFileSync(next, "utf8");
    hash.update(`${Buffer.byteLength(text)}\n${text}`);
    for (const [, specifier = ""] of text.matchAll(relativeImport)) {
      const found = sourceOf(resolve(dirname(next), specifier));
      if (found === undefined || known.has(found)) continue;
      known.add(found);
      waiting.push(found);
    }
  }
  return hash.digest("hex");
}

/** TypeScript names the file `loss.ts` `./loss.js`. */
const sourceOf = (path: string): string | undefined => [path, path.replace(/\.(m?)js$/, ".$1ts")].find(isFile);

const isFile = (path: string): boolean => existsSync(path) && statSync(path).isFile();
