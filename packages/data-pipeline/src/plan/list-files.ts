import { statSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { byCodeUnits, walkFiles } from "@lapidary/readers";
import { LapidaryError } from "@lapidary/std";
import { globSync } from "tinyglobby";
import type { Pipeline, SourceSettings } from "../file/pipeline-file.js";
import { pipelineError } from "../file/yaml-text.js";

/** A file of a source. */
export interface SourceFile {
  /** Absolute path. */
  readonly path: string;
  /** The path below the directory that all files of the source share. Ids depend on it. */
  readonly file: string;
}

/**
 * The files of a source, sorted by name.
 *
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_PIPELINE
 */
export function listFiles(pipeline: Pipeline, name: string, { read, fetch }: SourceSettings): readonly SourceFile[] {
  const location = pipeline.locationOf(["sources", name, "read"]);
  const found = [read]
    .flat()
    .map((pattern) => filesOf(pattern, dirname(pipeline.file), location, fetch === undefined ? undefined : pipeline.file));
  const root = commonDirectory(found.map(({ root }) => root));
  const paths = [...new Set(found.flatMap(({ paths }) => paths))];
  return paths.map((path) => ({ path, file: relative(root, path).split(sep).join("/") })).sort((a, b) => byCodeUnits(a.file, b.file));
}

/** @param fetchedBy the pipeline file, if `lapidary data fetch` downloads the source */
function filesOf(
  pattern: string,
  base: string,
  location: string,
  fetchedBy: string | undefined,
): { readonly root: string; readonly paths: readonly string[] } {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//.exec(pattern)?.[1];
  if (scheme !== undefined)
    throw pipelineError(`${pattern} is an address`, location, `mount or copy the files of ${scheme}://, and name a path`);
  const path = resolve(base, pattern);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() === true) return { root: dirname(path), paths: [path] };
  if (stats?.isDirectory() === true)
    return {
      root: path,
      paths: [...walkFiles(path, (directory) => basename(directory) !== "node_modules")].map((file) => join(path, file)),
    };
  const paths = globSync([path.split(sep).join("/")], { absolute: true, dot: false, followSymbolicLinks: false, expandDirectories: false });
  if (paths.length > 0) return { root: fixedDirectory(path), paths: paths.map((each) => resolve(each)) };
  throw new LapidaryError({
    code: "LAP_DATA_MISSING",
    message: `no file matches ${path}`,
    location,
    remedy:
      fetchedBy === undefined
        ? "correct the path; relative paths begin at the directory of the pipeline file"
        : `download the source with \`lapidary data fetch ${fetchedBy}\``,
  });
}

/** The part of a pattern before its first special character, as a directory. */
function fixedDirectory(pattern: string): string {
  const parts = pattern.split(sep);
  const first = parts.findIndex((part) => /[*?[\]{}()!]/.test(part));
  return parts.slice(0, first).join(sep) || sep;
}

function commonDirectory(directories: readonly string[]): string {
  const [first = [], ...others] = directories.map((each) => each.split(sep));
  const shared = first.findIndex((part, i) => others.some((other) => other[i] !== part));
  return (shared < 0 ? first : first.slice(0, shared)).join(sep) || sep;
}
