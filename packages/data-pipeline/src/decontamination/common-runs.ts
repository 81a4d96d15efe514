import { z } from "zod";
import { forEachRecord } from "../dedup/record-parts.js";
import type { GatherInputs } from "../stages/stage.js";

/** A run of words of an item is common if so many documents in so many sources have it. */
export const frequentSchema = z.strictObject({
  documents: z.number().int().min(2).default(100),
  /** At most the sources of the pipeline. */
  sources: z.number().int().min(1).default(2),
});
type FrequentSettings = z.output<typeof frequentSchema>;

/** A record: the hash of a run and the number of documents of a shard, 32 bits each. */
const recordBytes = 8;

/** How many documents have each run. Memory: the items' own runs, whatever the size of the corpus. */
export class RunCounts {
  readonly #documents = new Map<number, number>();

  /** @param runs of one document, each once */
  add(runs: readonly number[]): void {
    for (const run of runs) this.#documents.set(run, (this.#documents.get(run) ?? 0) + 1);
  }

  /** Records, ascending by run. */
  records(): Buffer {
    const sorted = [...this.#documents].sort(([a], [b]) => a - b);
    const records = Buffer.alloc(sorted.length * recordBytes);
    for (const [i, [run, documents]] of sorted.entries()) {
      records.writeUInt32LE(run, i * recordBytes);
      records.writeUInt32LE(documents, i * recordBytes + 4);
    }
    return records;
  }
}

/**
 * The runs that are common in the corpus, ascending. Memory: the items' own runs, each with its sources.
 *
 * @param inputs records of all shards
 */
export async function commonRuns(
  inputs: GatherInputs,
  { documents: limit, sources: needed }: FrequentSettings,
): Promise<readonly number[]> {
  const counts = new Map<number, { documents: number; readonly sources: Set<string> }>();
  for (const [shard, object] of inputs.objects.entries()) {
    const source = inputs.sources[shard] ?? "";
    await forEachRecord(inputs.read(object, 0), recordBytes, (bytes, at) => {
      const record = new DataView(bytes.buffer, bytes.byteOffset + at, recordBytes);
      const run = record.getUint32(0, true);
      const entry = counts.get(run) ?? { documents: 0, sources: new Set() };
      counts.set(run, entry);
      entry.documents += record.getUint32(4, true);
      entry.sources.add(source);
    });
  }
  const sources = Math.min(needed, new Set(inputs.sources).size);
  const isCommon = (found: { readonly documents: number; readonly sources: ReadonlySet<string> }): boolean =>
    found.documents >= limit && found.sources.size >= sources;
  return [...counts].flatMap(([run, found]) => (isCommon(found) ? [run] : [])).sort((a, b) => a - b);
}
