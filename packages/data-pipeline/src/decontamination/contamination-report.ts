import { z } from "zod";
import type { SetItem } from "./evaluation-sets.js";
import type { FoundItem } from "./contamination-search.js";

const count = z.number().int().nonnegative();

/** A passage of a document that holds an item. */
const passage = z.object({ document: z.string(), source: z.string(), item: z.string(), share: z.number(), passage: z.string() });

/** What the corpus has of one evaluation set. */
const setReport = z.object({
  items: count,
  /** Documents that hold an item, and those by source. */
  documents: count,
  by_source: z.record(z.string(), count),
  /** Ids of items that a document holds, sorted. */
  touched: z.array(z.string()),
  /** Ids of the other items. An evaluation on these does not profit from the corpus. */
  clean: z.array(z.string()),
  /** Ids of items whose words are common in the corpus or in other items, so that the rule `own` cannot find them. They are among `clean`. */
  common: z.array(z.string()),
  /** A uniform sample: those of the documents with the least ids. */
  passages: z.array(passage),
  /** Documents that published rules find. */
  also: z.record(z.string(), count),
});
type SetReport = z.infer<typeof setReport>;

/** By name of the evaluation set. */
export const contaminationReport = z.record(z.string(), setReport);
export type ContaminationReport = z.infer<typeof contaminationReport>;

const maxPassages = 20;

/** Counts of one evaluation set while documents are read. */
interface SetCounts {
  documents: number;
  readonly bySource: Map<string, number>;
  readonly touched: Set<string>;
  readonly common: Set<string>;
  readonly also: Map<string, number>;
  passages: z.infer<typeof passage>[];
}

/** Counts what documents have of evaluation sets. Memory: the items, and a sample of passages. */
export class ContaminationCounts {
  readonly #items = new Map<string, Set<string>>();
  readonly #sets = new Map<string, SetCounts>();

  constructor(items: readonly SetItem[]) {
    for (const { set, id } of items) {
      const ids = this.#items.get(set) ?? new Set();
      this.#items.set(set, ids.add(id));
    }
    for (const set of this.#items.keys())
      this.#sets.set(set, { documents: 0, bySource: new Map(), touched: new Set(), common: new Set(), also: new Map(), passages: [] });
  }

  add(document: string, source: string, found: readonly FoundItem[]): void {
    for (const set of new Set(found.map(({ set }) => set))) {
      const counts = this.#of(set);
      counts.documents++;
      addTo(counts.bySource, source, 1);
      const ofSet = found.filter((each) => each.set === set);
      for (const { id } of ofSet) counts.touched.add(id);
      this.#sample(
        counts,
        ofSet.map(({ id, share, passage }) => ({ document, source, item: id, share, passage })),
      );
    }
  }

  /** Records items that no document can hold. */
  addCommon(items: readonly Pick<SetItem, "set" | "id">[]): void {
    for (const { set, id } of items) this.#of(set).common.add(id);
  }

  addPublished(rule: string, sets: readonly string[]): void {
    for (const set of sets) addTo(this.#of(set).also, rule, 1);
  }

  /** Adds the report of other documents. */
  merge(report: ContaminationReport): void {
    for (const [set, { documents, by_source, touched, common, passages, also }] of Object.entries(report)) {
      const counts = this.#of(set);
      counts.documents += documents;
      for (const [source, number] of Object.entries(by_source)) addTo(counts.bySource, source, number);
      for (const id of touched) counts.touched.add(id);
      for (const id of common) counts.common.add(id);
      for (const [rule, number] of Object.entries(also)) addTo(counts.also, rule, number);
      this.#sample(counts, passages);
    }
  }

  report(): ContaminationReport {
    return Object.fromEntries(
      [...this.#sets].map(([set, { documents, bySource, touched, common, passages, also }]): [string, SetReport] => {
        const ids = [...(this.#items.get(set) ?? [])].sort();
        return [
          set,
          {
            items: ids.length,
            documents,
            by_source: sorted(bySource),
            touched: ids.filter((id) => touched.has(id)),
            clean: ids.filter((id) => !touched.has(id)),
            common: ids.filter((id) => common.has(id)),
            passages,
            also: sorted(also),
          },
        ];
      }),
    );
  }

  #of(set: string): SetCounts {
    const counts = this.#sets.get(set) ?? {
      documents: 0,
      bySource: new Map(),
      touched: new Set(),
      common: new Set(),
      also: new Map(),
      passages: [],
    };
    this.#sets.set(set, counts);
    return counts;
  }

  #sample(counts: SetCounts, more: readonly z.infer<typeof passage>[]): void {
    const key = ({ document, item }: z.infer<typeof passage>): string => `${document} ${item}`;
    counts.passages = [...counts.passages, ...more].sort((a, b) => (key(a) < key(b) ? -1 : 1)).slice(0, maxPassages);
  }
}

const addTo = (counts: Map<string, number>, key: string, number: number): void => void counts.set(key, (counts.get(key) ?? 0) + number);

const sorted = (counts: ReadonlyMap<string, number>): Record<string, number> =>
  Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
