import { statSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { isS3, type S3Access, S3Source } from "@lapidary/data-store";
import { byCodeUnits, walkFiles } from "@lapidary/readers";
import { LapidaryError } from "@lapidary/std";
import picomatch from "picomatch";
import { globSync } from "tinyglobby";
import type { Pipeline, SourceSettings } from "../file/pipeline-file.js";
import { pipelineError } from "../file/yaml-text.js";

/** A file of a source. */
export interface SourceFile {
  /** Absolute path, or `s3://bucket/name`. */
  readonly path: string;
  /** The path below the directory that all files of the source share. Ids depend on it. */
  readonly file: string;
  /** Of a file in an S3-compatible server: its size, and a text that changes with its content. */
  readonly remote?: { readonly bytes: number; readonly stamp: string } | undefined;
}

type FoundFile = Omit<SourceFile, "file">;

/** The files of one pattern, and the directory below which all of them are. */
interface Found {
  readonly root: string;
  readonly files: readonly FoundFile[];
}

/**
 * The files of a source, sorted by name.
 *
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_PIPELINE, LAP_DATA_CREDENTIALS, LAP_DATA_REMOTE
 */
export async function listFiles(
  pipeline: Pipeline,
  name: string,
  { read, fetch }: SourceSettings,
  s3?: S3Access,
): Promise<readonly SourceFile[]> {
  const location = pipeline.locationOf(["sources", name, "read"]);
  const fetchedBy = fetch === undefined ? undefined : pipeline.file;
  const found: Found[] = [];
  for (const pattern of [read].flat())
    found.push(isS3(pattern) ? await remoteFiles(pattern, location, s3) : filesOf(pattern, dirname(pipeline.file), location, fetchedBy));
  const root = commonDirectory(found.map((each) => each.root));
  const files = new Map(found.flatMap((each) => each.files).map((file) => [file.path, file]));
  return [...files.values()].map((file) => ({ ...file, file: nameBelow(root, file.path) })).sort((a, b) => byCodeUnits(a.file, b.file));
}

const nameBelow = (root: string, path: string): string =>
  (path.startsWith(`${root}${sep}`) ? path.slice(root.length + 1) : path.replace(/^\//, "")).split(sep).join("/");

/** @param fetchedBy the pipeline file, if `lapidary data fetch` downloads the source */
function filesOf(pattern: string, base: string, location: string, fetchedBy: string | undefined): Found {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//.exec(pattern)?.[1];
  if (scheme !== undefined)
    throw pipelineError(`${pattern} is an address`, location, `name a path or an address s3://; mount or copy the files of ${scheme}://`);
  const path = resolve(base, pattern);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() === true) return { root: dirname(path), files: [{ path }] };
  if (stats?.isDirectory() === true) {
    const names = walkFiles(path, (directory) => basename(directory) !== "node_modules");
    return { root: path, files: [...names].map((file) => ({ path: join(path, file) })) };
  }
  const paths = globSync([path.split(sep).join("/")], { absolute: true, dot: false, followSymbolicLinks: false, expandDirectories: false });
  if (paths.length > 0) return { root: fixedDirectory(path), files: paths.map((each) => ({ path: resolve(each) })) };
  throw missing(
    path,
    location,
    fetchedBy === undefined
      ? "correct the path; relative paths begin at the directory of the pipeline file"
      : `download the source with \`lapidary data fetch ${fetchedBy}\``,
  );
}

/** An object, all objects below a prefix, or the objects that match a pattern. Names with a leading dot are not part of it, as in a directory. */
async function remoteFiles(pattern: string, location: string, s3: S3Access | undefined): Promise<Found> {
  const source = new S3Source(s3, location);
  const hasPattern = specialCharacter.test(pattern);
  const directory = hasPattern ? fixedDirectory(pattern) : pattern.replace(/\/+$/, "");
  const matches = picomatch(hasPattern ? pattern.slice(directory.length + 1) : "**");
  const files: FoundFile[] = [];
  for await (const { url, bytes, stamp } of source.list(directory)) {
    if (!hasPattern && url === pattern) return { root: dirname(pattern), files: [{ path: url, remote: { bytes, stamp } }] };
    // An empty object whose name ends in a slash stands for a directory.
    if (!url.startsWith(`${directory}/`) || url.endsWith("/") || !matches(url.slice(directory.length + 1))) continue;
    files.push({ path: url, remote: { bytes, stamp } });
  }
  if (files.length > 0) return { root: directory, files };
  throw missing(pattern, location, "correct the address; a pattern such as s3://bucket/web/*.jsonl names objects");
}

const missing = (pattern: string, location: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_MISSING", message: `no file matches ${pattern}`, location, remedy });

const specialCharacter = /[*?[\]{}()!]/;

/** The part of a pattern before its first special character, as a directory. */
function fixedDirectory(pattern: string): string {
  const parts = pattern.split(sep);
  const first = parts.findIndex((part) => specialCharacter.test(part));
  return parts.slice(0, first).join(sep) || sep;
}

function commonDirectory(directories: readonly string[]): string {
  const [first = [], ...others] = directories.map((each) => each.split(sep));
  const shared = first.findIndex((part, i) => others.some((other) => other[i] !== part));
  return (shared < 0 ? first : first.slice(0, shared)).join(sep) || sep;
}
