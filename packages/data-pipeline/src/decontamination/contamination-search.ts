import { ContaminationIndex, datatroveRule, janitorRule, passageText, type PublishedRule } from "@lapidary/detectors";
import { patternWords } from "@lapidary/text-filters";
import type { SetItem } from "./evaluation-sets.js";

/** Rules of other tools: 12 words of datatrove, without and with the question, and 13 words of GPT-3. */
export const publishedRules = ["datatrove-12", "datatrove-12-query", "gpt3-13"] as const;
export type PublishedName = (typeof publishedRules)[number];

const openRule: Readonly<Record<PublishedName, () => PublishedRule>> = {
  "datatrove-12": () => datatroveRule(patternWords, false),
  "datatrove-12-query": () => datatroveRule(patternWords, true),
  "gpt3-13": janitorRule,
};

/** An item in a document. */
export interface FoundItem {
  readonly set: string;
  readonly id: string;
  readonly share: number;
  readonly passage: string;
}

const maxPassageWords = 60;

/** Finds the items of evaluation sets in documents, by our rule and by published ones. */
export class ContaminationSearch {
  readonly #index: ContaminationIndex;
  /** The number of an entry of the index → the items that it stands for. */
  readonly #items: readonly (readonly SetItem[])[];
  readonly #published: ReadonlyMap<PublishedName, ReadonlyMap<string, PublishedRule>>;

  /** @param common runs that are frequent in the corpus */
  constructor(items: readonly SetItem[], published: readonly PublishedName[], common: ReadonlySet<number> = new Set()) {
    // Two sets may have the same item. As two entries, its runs would count as a frame that both have.
    const byText = new Map<string, SetItem[]>();
    for (const item of items) {
      const key = JSON.stringify([item.query, item.label]);
      const same = byText.get(key);
      if (same === undefined) byText.set(key, [item]);
      else same.push(item);
    }
    this.#items = [...byText.values()];
    this.#index = new ContaminationIndex(
      this.#items.flatMap(([first], i) => (first === undefined ? [] : [{ ...first, id: String(i) }])),
      (run) => common.has(run),
    );
    this.#published = new Map(published.map((name) => [name, ruleOfSets(name, items)]));
  }

  /** Items of which the corpus has too many runs elsewhere, so that no document can hold them. */
  get unfindable(): readonly Pick<SetItem, "set" | "id">[] {
    return this.#index.withoutOwnRuns.flatMap((found) => this.#items[Number(found)] ?? []);
  }

  /** The items' own runs of words that a text has, each once, ascending. */
  ownRunsIn(text: string): readonly number[] {
    return this.#index.ownRunsIn(text);
  }

  find(text: string): readonly FoundItem[] {
    return this.#index.findAll(text).flatMap((found) =>
      (this.#items[Number(found.item)] ?? []).map(({ set, id }) => ({
        set,
        id,
        share: found.share,
        passage: passageText(text, found, maxPassageWords),
      })),
    );
  }

  /** The sets that a published rule finds in a text. */
  setsBy(rule: PublishedName, text: string): readonly string[] {
    return [...(this.#published.get(rule) ?? [])].filter(([, each]) => each.isContaminated(text)).map(([set]) => set);
  }
}

function ruleOfSets(name: PublishedName, items: readonly SetItem[]): ReadonlyMap<string, PublishedRule> {
  const rules = new Map<string, PublishedRule>();
  for (const item of items) {
    const rule = rules.get(item.set) ?? openRule[name]();
    rules.set(item.set, rule);
    rule.add(item);
  }
  return rules;
}
