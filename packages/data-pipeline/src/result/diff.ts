import { createReadStream } from "node:fs";
import { join } from "node:path";
import { type PublishedDataset, readPublished } from "@lapidary/mixture";
import { canonicalJson } from "@lapidary/std";
import { readPlanFile } from "./plan-file.js";

interface Amounts {
  readonly documents: number;
  readonly tokens: number;
  readonly bytes: number;
}

/** How two published datasets differ. */
export interface DatasetDifference {
  readonly stages: readonly { readonly stage: string; readonly before: string | undefined; readonly after: string | undefined }[];
  readonly sources: Readonly<Record<string, { readonly before: Amounts; readonly after: Amounts }>>;
  /** Ids of documents that only the second has, that only the first has, and whose tokens differ in number. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

const none: Amounts = { documents: 0, tokens: 0, bytes: 0 };

/**
 * Compares two published datasets by documents and by settings.
 *
 * @param a and `b` output directories
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_DATASET, LAP_DATA_NO_RESULT
 */
export async function diffDatasets(a: string, b: string): Promise<DatasetDifference> {
  const [first, second] = [readPublished(a), readPublished(b)];
  const before = await documentsOf(a, first);
  const [added, changed]: [string[], string[]] = [[], []];
  for await (const [id, tokens] of recordsOf(b, second)) {
    const known = before.get(id);
    if (known === undefined) added.push(id);
    else if (known !== tokens) changed.push(id);
    before.delete(id);
  }
  const names = [...new Set([...Object.keys(first.sources), ...Object.keys(second.sources)])].sort();
  const sources = names.map((name) => [name, { before: amountsOf(first, name), after: amountsOf(second, name) }] as const);
  return {
    stages: stageDifferences(a, b),
    sources: Object.fromEntries(sources),
    added: added.sort(),
    removed: [...before.keys()].sort(),
    changed: changed.sort(),
  };
}

function amountsOf({ sources }: PublishedDataset, name: string): Amounts {
  const source = sources[name];
  return source === undefined ? none : { documents: source.documents, tokens: source.tokens, bytes: source.bytes };
}

function stageDifferences(a: string, b: string): DatasetDifference["stages"] {
  const settingsOf = (out: string): ReadonlyMap<string, string> => {
    const counts = new Map<string, number>();
    return new Map(
      readPlanFile(out).stages.map(({ stage, settings }) => {
        const count = (counts.get(stage) ?? 0) + 1;
        counts.set(stage, count);
        return [count === 1 ? stage : `${stage} ${count}`, canonicalJson(settings)];
      }),
    );
  };
  const [before, after] = [settingsOf(a), settingsOf(b)];
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((stage) => before.get(stage) !== after.get(stage))
    .map((stage) => ({ stage, before: before.get(stage), after: after.get(stage) }));
}

async function documentsOf(root: string, dataset: PublishedDataset): Promise<Map<string, number>> {
  const documents = new Map<string, number>();
  for await (const [id, tokens] of recordsOf(root, dataset)) documents.set(id, tokens);
  return documents;
}

const recordBytes = 36;

async function* recordsOf(root: string, { sources }: PublishedDataset): AsyncGenerator<readonly [id: string, tokens: number]> {
  for (const { shards } of Object.values(sources))
    for (const { documents } of shards) {
      const table = await contentOf(join(root, documents));
      for (let at = 0; at + recordBytes <= table.length; at += recordBytes)
        yield [table.toString("hex", at, at + 32), table.readUInt32LE(at + 32)];
    }
}

async function contentOf(path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
