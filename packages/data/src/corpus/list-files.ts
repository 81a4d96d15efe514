import { accessSync, constants, type Dirent, readdirSync, readFileSync, readlinkSync, realpathSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { suggest } from "@lapidary/std";
import { unreadable, byCodeUnits } from "@lapidary/readers";
import { corpusTooLarge, danglingCorpus, emptyCorpus, missingCorpus, unreadableEntries } from "../data-errors.js";
import { SkippedDocuments } from "./document.js";

/** Maximum size in memory, compressed or decompressed. */
export const maxCorpusBytes = 2 ** 30;

const hidden = "hidden (its name begins with a dot)";
const nodeModules = "node_modules directory";
const duplicateFile = "another link to a file that was read";
const duplicateDirectory = "another link to a directory that was read";

/** Reasons that need no warning: the name excludes the file, or its text is read under another name. */
export const expectedReasons: ReadonlySet<string> = new Set([hidden, nodeModules, duplicateFile, duplicateDirectory]);

/** A file of a corpus: its name, its path, and the values that show a change. */
export interface CorpusFile {
  readonly source: string;
  readonly path: string;
  readonly bytes: number;
  readonly modified_ms: number;
  /** For a link: the target file. */
  readonly target?: string;
}

export interface CorpusListing {
  readonly files: readonly CorpusFile[];
  /** The number of skipped names, by reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

/**
 * The files of a path: the file itself, or all files below the directory except those under dot names and `node_modules`. Links to files and
 * directories are followed. Each file and directory is read once, so cycles end. Pipes, sockets and devices are never opened.
 *
 * @throws LapidaryError `LAP_DATA_MISSING` with the nearest name, `LAP_DATA_UNREADABLE` with all files and directories that cannot be read, `LAP_DATA_EMPTY`, `LAP_DATA_TOO_LARGE`
 */
export function listCorpusFiles(path: string): CorpusListing {
  const stats = statOf(path);
  if (!stats.isFile() && !stats.isDirectory()) throw unreadable(path, "it is neither a file nor a directory");
  const listing = stats.isFile() ? { files: [asFile(basename(path), path, stats)], skipped: {} } : new Walk(path, stats).list();
  const bytes = listing.files.reduce((sum, each) => sum + each.bytes, 0);
  if (listing.files.length === 0) throw emptyCorpus(path, "the directory contains no files", listing.skipped);
  if (bytes > maxCorpusBytes) throw corpusTooLarge(path, bytes, maxCorpusBytes);
  return listing;
}

const asFile = (source: string, path: string, { size, mtimeMs }: Stats): CorpusFile => ({
  source,
  path,
  bytes: size,
  modified_ms: mtimeMs,
});

/** Identifies a file or directory independently of its names. */
const identity = ({ dev, ino }: Stats): string => `${dev}:${ino}`;

/** Maximum size of a text file by which git represents a link. */
const maxLinkTextBytes = 1024;

class Walk {
  readonly #entered: Set<string>;
  readonly #skipped = new SkippedDocuments();
  readonly #unreadable: string[] = [];
  readonly #files: (CorpusFile & { readonly identity: string; readonly isLink: boolean })[] = [];

  constructor(
    readonly root: string,
    stats: Stats,
  ) {
    this.#entered = new Set([identity(stats)]);
  }

  list(): CorpusListing {
    this.#enter("");
    for (const { source, path } of this.#files) if (!isReadable(path)) this.#unreadable.push(source);
    if (this.#unreadable.length > 0) throw unreadableEntries(this.root, this.#unreadable.sort(byCodeUnits));
    // A file has precedence over links to it. Of several links the first counts.
    const own = new Set(this.#files.flatMap((file) => (file.isLink ? [] : [file.identity])));
    const files = this.#files.filter((file) => {
      if (!file.isLink) return true;
      if (own.has(file.identity)) {
        this.#skipped.count(duplicateFile);
        return false;
      }
      own.add(file.identity);
      return true;
    });
    return {
      files: files.map(({ source, path, bytes, modified_ms, isLink }) => ({
        source,
        path,
        bytes,
        modified_ms,
        ...(isLink ? { target: realpathSync.native(path) } : {}),
      })),
      skipped: this.#skipped.toJSON(),
    };
  }

  #enter(directory: string): void {
    const below = join(this.root, directory);
    if (directory !== "" && !isReadable(below, constants.R_OK | constants.X_OK)) return void this.#unreadable.push(`${directory}/`);
    for (const entry of listDirectory(below)) {
      const source = directory === "" ? entry.name : `${directory}/${entry.name}`;
      const path = join(this.root, source);
      if (entry.name.startsWith(".")) this.#skipped.count(hidden);
      else if (entry.isDirectory()) this.#enterDirectory(source, statOf(path));
      else if (entry.isFile()) this.#addFile(source, path, statOf(path));
      else if (entry.isSymbolicLink()) this.#follow(source, path);
      else this.#skipped.count("not a regular file");
    }
  }

  #enterDirectory(source: string, stats: Stats): void {
    if (basename(source) === "node_modules") return this.#skipped.count(nodeModules);
    if (this.#entered.has(identity(stats))) return this.#skipped.count(duplicateDirectory);
    this.#entered.add(identity(stats));
    this.#enter(source);
  }

  #follow(source: string, path: string): void {
    const stats = targetOf(path);
    if (stats === undefined) this.#skipped.count("dangling link");
    else if (stats.isDirectory()) this.#enterDirectory(source, stats);
    else if (stats.isFile()) this.#files.push({ ...asFile(source, path, stats), identity: identity(stats), isLink: true });
    else this.#skipped.count("not a regular file");
  }

  /** Git represents a link as a file with a relative path if the file system has no links. */
  #addFile(source: string, path: string, stats: Stats): void {
    const target = stats.size > 0 && stats.size <= maxLinkTextBytes && isReadable(path) ? linkText(path) : undefined;
    const linked = target === undefined ? undefined : targetOf(target);
    if (target !== undefined && linked?.isFile() === true && identity(linked) !== identity(stats))
      this.#files.push({ ...asFile(source, target, linked), identity: identity(linked), isLink: true });
    else this.#files.push({ ...asFile(source, path, stats), identity: identity(stats), isLink: false });
  }
}

function isReadable(path: string, mode = constants.R_OK): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch (error) {
    // Reading the file reports any other failure.
    return (error as NodeJS.ErrnoException).code !== "EACCES";
  }
}

function linkText(path: string): string | undefined {
  const text = orUnreadable(path, () => readFileSync(path, "latin1"));
  return /^\.{1,2}\/[^\0\r\n]+$/.test(text) ? resolve(dirname(path), Buffer.from(text, "latin1").toString("utf8")) : undefined;
}

/** The target of a link; undefined if the target is missing, a cycle, or not accessible. */
function targetOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function listDirectory(path: string): Dirent[] {
  return orUnreadable(path, () => readdirSync(path, { withFileTypes: true })).sort((a, b) => byCodeUnits(a.name, b.name));
}

function statOf(path: string): Stats {
  const stats = orUnreadable(path, () => statSync(path, { throwIfNoEntry: false }));
  if (stats !== undefined) return stats;
  const parent = dirname(path);
  const siblings =
    statSync(parent, { throwIfNoEntry: false })?.isDirectory() === true ? orUnreadable(parent, () => readdirSync(parent)) : [];
  const link = linkTarget(path);
  if (link !== undefined) throw danglingCorpus(path, link);
  const name = basename(path);
  const near = siblings.find((each) => each.normalize("NFC") === name.normalize("NFC")) ?? suggest(name, siblings);
  throw missingCorpus(path, near === undefined ? undefined : join(parent, near));
}

/** The text of a link; undefined if the path is not a link. */
function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function orUnreadable<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}
