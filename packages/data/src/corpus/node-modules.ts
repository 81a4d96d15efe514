import { isUtf8 } from "node:buffer";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { hashString, ensure } from "@lapidary/std";
import { byCodeUnits, walkFiles } from "@lapidary/readers";
import { emptyCorpus, missingCorpus } from "../data-errors.js";
import { clean, shouldDescend, type Kind, kindOf } from "./clean.js";
import { type Corpus, SkippedDocuments } from "./document.js";
import { NearDuplicates } from "./near-duplicates.js";

/** The fraction of the corpus for each kind, in order of choice. A kind may use the bytes that earlier kinds do not use. */
const shares: readonly (readonly [kind: Kind, share: number])[] = [
  ["prose", 0.45],
  ["declarations", 0.35],
  ["code", 0.2],
];
/** A text is skipped if earlier texts contain this fraction of it. */
const duplicateShare = 0.5;
/** Larger files are tables and bundles and are skipped. */
const maxFileBytes = 512 * 1024;
/** After this many skipped files in a row, the other files of a package are not read. */
const maxSkippedInARow = 40;

export interface NodeModulesOptions {
  /** Maximum size of the corpus, in bytes of text. */
  readonly maxBytes: number;
  /** Called repeatedly with the number of bytes chosen so far. */
  readonly onProgress?: (bytes: number, maxBytes: number) => void;
}

/**
 * The default corpus: prose, type declarations and code of the installed packages.
 *
 *     walk ─► by kind: next file of the package with the fewest bytes ─► clean ─► duplicate? ─► document
 *
 * A small package contributes all its text, and no package dominates. The result depends only on the installed files.
 *
 * @param directory a `node_modules`; linked packages (workspaces) are not part of it
 * @throws LapidaryError `LAP_DATA_MISSING`, `LAP_DATA_EMPTY`, `LAP_DATA_UNREADABLE`
 */
export function readNodeModules(directory: string, { maxBytes, onProgress }: NodeModulesOptions): Corpus {
  if (!existsSync(directory)) throw missingCorpus(directory, undefined);
  const packages = listPackages(directory);
  const skipped = new SkippedDocuments();
  const seen = new NearDuplicates(maxBytes);
  const chosen: { source: string; text: string; number: number }[] = [];
  let bytes = 0;
  let budget = 0;

  for (const [kind, share] of shares) {
    budget += maxBytes * share;
    const queues = packages
      .filter(({ files }) => files[kind].length > 0)
      .map(({ files }) => ({ files: files[kind], next: 0, bytes: 0, skippedInARow: 0 }));
    while (bytes < budget && queues.length > 0) {
      const at = smallestQueue(queues);
      const queue = ensure(queues[at], "queue");
      const path = queue.files[queue.next++];
      if (path === undefined || queue.skippedInARow > maxSkippedInARow) {
        queues.splice(at, 1);
        continue;
      }
      const text = addFile(path, kind);
      if (text === undefined) {
        queue.skippedInARow++;
        continue;
      }
      queue.skippedInARow = 0;
      queue.bytes += text.length;
      bytes += text.length;
      if (chosen.length % 64 === 0) onProgress?.(bytes, maxBytes);
    }
  }
  if (chosen.length === 0) throw emptyCorpus(directory, "no package contains suitable text");
  return { documents: chosen.map(({ source, text, number }) => ({ source, text, group: seen.group(number) })), skipped: skipped.toJSON() };

  /** Adds the cleaned text of a file to the corpus. Returns undefined if the file is skipped. */
  function addFile(path: string, kind: Kind): string | undefined {
    const file = join(directory, path);
    const refuse = (reason: string): undefined => skipped.count(reason) as undefined;
    if (statSync(file).size > maxFileBytes) return refuse("too large");
    const raw = readFileSync(file);
    if (!isUtf8(raw)) return refuse("not UTF-8");
    const cleaned = clean(raw.toString("utf8"), kind);
    if ("skipped" in cleaned) return refuse(cleaned.skipped);
    const shingles = seen.shingles(cleaned.text);
    if (seen.seenFraction(shingles) >= duplicateShare) return refuse("seen before");
    chosen.push({ source: path, text: cleaned.text, number: seen.add(shingles) });
    return cleaned.text;
  }
}

interface Package {
  readonly name: string;
  readonly files: Readonly<Record<Kind, string[]>>;
}

/** Packages in the order of their paths. A package inside the `node_modules` of another is a separate package. */
function listPackages(directory: string): Package[] {
  const packages = new Map<string, Package>();
  for (const path of walkFiles(directory, shouldDescend)) {
    const name = packageOf(path);
    const kind = kindOf(path);
    if (name === undefined || kind === undefined) continue;
    let known = packages.get(name);
    if (known === undefined) packages.set(name, (known = { name, files: { prose: [], declarations: [], code: [] } }));
    known.files[kind].push(path);
  }
  for (const { files } of packages.values()) {
    // The README comes first. Other files are in the order of a hash, so that names have no influence.
    files.prose.sort((a, b) => depth(a) - depth(b) || Number(isReadme(b)) - Number(isReadme(a)) || byCodeUnits(a, b));
    for (const kind of ["declarations", "code"] as const) files[kind].sort((a, b) => hashString(a) - hashString(b) || byCodeUnits(a, b));
  }
  return [...packages.values()].sort((a, b) => byCodeUnits(a.name, b.name));
}

/** `a/node_modules/@b/c/lib/x.ts` → `a/node_modules/@b/c`. */
function packageOf(path: string): string | undefined {
  const inner = path.lastIndexOf("node_modules/");
  const start = inner < 0 ? 0 : inner + "node_modules/".length;
  const parts = path.slice(start).split("/");
  const length = path.slice(start).startsWith("@") ? 2 : 1;
  return parts.length <= length ? undefined : path.slice(0, start) + parts.slice(0, length).join("/");
}

function isReadme(path: string): boolean {
  return /(^|\/)readme\.[a-z]+$/i.test(path);
}

function depth(path: string): number {
  return path.split("/").length;
}

function smallestQueue(queues: readonly { readonly bytes: number }[]): number {
  let best = 0;
  for (let i = 1; i < queues.length; i++) if (ensure(queues[i], "queue").bytes < ensure(queues[best], "queue").bytes) best = i;
  return best;
}
