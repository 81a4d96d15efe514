import { accessSync, constants, type Dirent, readdirSync, readFileSync, readlinkSync, realpathSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { suggest } from "@lapidary/std";
import { corpusTooLarge, danglingCorpus, emptyCorpus, missingCorpus, unreadable, unreadableEntries } from "../data-errors.js";
import { LeftOut } from "./document.js";
import { byCodeUnits } from "./walk.js";

/** More than this is not held in memory, packed or unpacked. */
export const largestCorpusBytes = 2 ** 30;

const hidden = "hidden (its name begins with a dot)";
const nodeModules = "node_modules directory";
const fileAgain = "another link to a file that was read";
const directoryAgain = "another link to a directory that was read";

/** Reasons by which no text is missed: the name says that it is not part of a corpus, or the text is read by another name. */
export const ruledOut: ReadonlySet<string> = new Set([hidden, nodeModules, fileAgain, directoryAgain]);

/** A file of a corpus: what it is called, where its bytes are, and what shows that it changed. */
export interface CorpusFile {
  readonly source: string;
  readonly path: string;
  readonly bytes: number;
  readonly modified_ms: number;
  /** Of a link: the file that it leads to. */
  readonly target?: string;
}

export interface CorpusListing {
  readonly files: readonly CorpusFile[];
  /** Names that are not part of the corpus, by reason. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/**
 * The files that a path names: itself, or all files below it but those under dot names and `node_modules`. Links to files and directories
 * are followed, each file and directory once, so that circles end; pipes, sockets and devices are never opened.
 *
 * @throws LapidaryError `LAP_DATA_MISSING` with the near name, `LAP_DATA_UNREADABLE` with all files and directories that cannot be read, `LAP_DATA_EMPTY`, `LAP_DATA_TOO_LARGE`
 */
export function listCorpusFiles(path: string): CorpusListing {
  const stats = statOf(path);
  if (!stats.isFile() && !stats.isDirectory()) throw unreadable(path, "it is neither a file nor a directory");
  const listing = stats.isFile() ? { files: [asFile(basename(path), path, stats)], leftOut: {} } : new Walk(path, stats).list();
  const bytes = listing.files.reduce((sum, each) => sum + each.bytes, 0);
  if (listing.files.length === 0) throw emptyCorpus(path, "the directory holds no files", listing.leftOut);
  if (bytes > largestCorpusBytes) throw corpusTooLarge(path, bytes, largestCorpusBytes);
  return listing;
}

const asFile = (source: string, path: string, { size, mtimeMs }: Stats): CorpusFile => ({
  source,
  path,
  bytes: size,
  modified_ms: mtimeMs,
});

/** A directory or file, whatever its names are. */
const identity = ({ dev, ino }: Stats): string => `${dev}:${ino}`;

/** A text of this size or less may be a link that git has written as a file. */
const longestLinkText = 1024;

class Walk {
  readonly #entered: Set<string>;
  readonly #leftOut = new LeftOut();
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
    // A file that is here itself goes before links to it; of several links the first counts.
    const own = new Set(this.#files.flatMap((file) => (file.isLink ? [] : [file.identity])));
    const files = this.#files.filter((file) => {
      if (!file.isLink) return true;
      if (own.has(file.identity)) {
        this.#leftOut.count(fileAgain);
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
      leftOut: this.#leftOut.toJSON(),
    };
  }

  #enter(directory: string): void {
    const below = join(this.root, directory);
    if (directory !== "" && !isReadable(below, constants.R_OK | constants.X_OK)) return void this.#unreadable.push(`${directory}/`);
    for (const entry of listDirectory(below)) {
      const source = directory === "" ? entry.name : `${directory}/${entry.name}`;
      const path = join(this.root, source);
      if (entry.name.startsWith(".")) this.#leftOut.count(hidden);
      else if (entry.isDirectory()) this.#enterDirectory(source, statOf(path));
      else if (entry.isFile()) this.#takeFile(source, path, statOf(path));
      else if (entry.isSymbolicLink()) this.#follow(source, path);
      else this.#leftOut.count("not a regular file");
    }
  }

  #enterDirectory(source: string, stats: Stats): void {
    if (basename(source) === "node_modules") return this.#leftOut.count(nodeModules);
    if (this.#entered.has(identity(stats))) return this.#leftOut.count(directoryAgain);
    this.#entered.add(identity(stats));
    this.#enter(source);
  }

  #follow(source: string, path: string): void {
    const stats = targetOf(path);
    if (stats === undefined) this.#leftOut.count("dangling link");
    else if (stats.isDirectory()) this.#enterDirectory(source, stats);
    else if (stats.isFile()) this.#files.push({ ...asFile(source, path, stats), identity: identity(stats), isLink: true });
    else this.#leftOut.count("not a regular file");
  }

  /** A file of one relative path is how git writes a link on a file system without links. */
  #takeFile(source: string, path: string, stats: Stats): void {
    const target = stats.size > 0 && stats.size <= longestLinkText && isReadable(path) ? linkText(path) : undefined;
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
    // Any other failure is reported where the file is read.
    return (error as NodeJS.ErrnoException).code !== "EACCES";
  }
}

function linkText(path: string): string | undefined {
  const text = attempt(path, () => readFileSync(path, "latin1"));
  return /^\.{1,2}\/[^\0\r\n]+$/.test(text) ? resolve(dirname(path), Buffer.from(text, "latin1").toString("utf8")) : undefined;
}

/** Of what a link leads to; undefined if it leads nowhere, round in a circle, or where it may not be seen. */
function targetOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function listDirectory(path: string): Dirent[] {
  return attempt(path, () => readdirSync(path, { withFileTypes: true })).sort((a, b) => byCodeUnits(a.name, b.name));
}

function statOf(path: string): Stats {
  const stats = attempt(path, () => statSync(path, { throwIfNoEntry: false }));
  if (stats !== undefined) return stats;
  const parent = dirname(path);
  const beside = statSync(parent, { throwIfNoEntry: false })?.isDirectory() === true ? attempt(parent, () => readdirSync(parent)) : [];
  const link = linkTarget(path);
  if (link !== undefined) throw danglingCorpus(path, link);
  const name = basename(path);
  const near = beside.find((each) => each.normalize("NFC") === name.normalize("NFC")) ?? suggest(name, beside);
  throw missingCorpus(path, near === undefined ? undefined : join(parent, near));
}

/** What a link says it leads to; undefined for what is not a link. */
function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function attempt<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}
