import { shingleHashes, shinglesOf } from "../duplicates/min-hash.js";
import { stringHash } from "../word-hash.js";
import type { HashedWords } from "../word-scanner.js";
import { wordScanner, wordsOf } from "../words.js";
import { HashFilter } from "./hash-filter.js";
import { withoutMarkup } from "./without-markup.js";

/** A question of an evaluation set. */
export interface EvaluationItem {
  readonly id: string;
  readonly query: string;
  readonly label: string;
  /** A part of the query that anyone may have, such as a passage of a public text. */
  readonly context?: string | undefined;
}

export interface Contamination {
  readonly item: string;
  /** Share of the item's own runs of words that the document has. 1 for a short item. */
  readonly share: number;
  /** The first and the last word of the passage, counted from 0 in the words of the document; `end` is exclusive. */
  readonly start: number;
  readonly end: number;
}

/** Consecutive words of a run. */
const runWords = 5;
/** An item whose question has fewer words is found by question and answer. */
const shortWords = 13;
/** The answer to a short question is at most this many words away. */
const answerDistance = 60;
/** A changed word destroys 5 runs. Found runs with at most this many runs between them are one passage, if the document has about as many words between them. */
const bridge = 12;
const bridgeSlack = 3;
/** A document holds an item if it has this share of the item's own runs in the question, and at least so many of them. */
const minShare = 0.45;
const minRuns = 5;
/** Whole sentences before the question can be a quotation that others quote too. They need this share, or so many runs. */
const quotationShare = 0.75;
const quotationRuns = 40;

interface Run {
  readonly item: number;
  /** Number of the run among the own runs of the item. */
  readonly own: number;
  /** Its first word in the question, or in the answer after a gap. */
  readonly place: number;
}

interface IndexedItem {
  readonly id: string;
  /** Own runs of the question come first. */
  readonly ownOfQuery: number;
  readonly own: number;
  /** Hashes of the runs of the question, frames included. */
  readonly query: Uint32Array;
  /** For each sentence of the question but the last, the number of words up to its end. */
  readonly sentenceEnds: readonly number[];
}

interface ShortItem {
  readonly id: string;
  readonly query: readonly string[];
  readonly label: readonly string[];
}

interface Hit extends Run {
  /** The first word of the run in the document. */
  readonly at: number;
}

/**
 * Finds documents that hold an item of an evaluation set, also in another layout, with markup, cut off, or with single changed words.
 *
 * Only an item's own runs of 5 words count. A run that another item has is a frame, such as an instruction or a licence header. A run of `context` is
 * public text. A run that is frequent in a corpus is common text. So documents that have a frame, the public text or common text are not contaminated.
 */
export class ContaminationIndex {
  readonly #items: IndexedItem[] = [];
  readonly #runs: ReadonlyMap<number, Run>;
  readonly #runFilter = new HashFilter();
  /** By the hash of the first two words of the question. */
  readonly #short = new Map<number, ShortItem[]>();
  readonly #shortFilter = new HashFilter();
  readonly #scanner = wordScanner();

  /** @param isCommon whether a run of the texts is so frequent in a corpus that it is no evidence of an item */
  constructor(items: Iterable<EvaluationItem>, isCommon: (run: number) => boolean = () => false) {
    const runs = new Map<number, Run>();
    const long: { readonly item: EvaluationItem; readonly query: Uint32Array; readonly label: Uint32Array }[] = [];
    const uses = new Map<number, number>();
    for (const item of items) {
      const query = words(item.query);
      const label = words(item.label);
      if (query.length < shortWords) {
        const [first, second] = query;
        // One word is not evidence.
        if (first === undefined || second === undefined) continue;
        const key = twoWords(stringHash(first), stringHash(second));
        this.#shortFilter.add(key);
        this.#short.set(key, [...(this.#short.get(key) ?? []), { id: item.id, query, label }]);
        continue;
      }
      const entry = { item, query: shingleHashes(query, runWords), label: shingleHashes(label, runWords) };
      long.push(entry);
      for (const run of new Set([...entry.query, ...entry.label])) uses.set(run, (uses.get(run) ?? 0) + 1);
    }
    for (const [number, { item, query, label }] of long.entries()) {
      const isPublic = new Set(shingleHashes(words(item.context ?? ""), runWords));
      let own = 0;
      const add = (of: Uint32Array, offset: number): void => {
        for (const [i, run] of of.entries())
          if (uses.get(run) === 1 && !isPublic.has(run) && !runs.has(run) && !isCommon(run))
            runs.set(run, { item: number, own: own++, place: offset + i });
      };
      add(query, 0);
      const ownOfQuery = own;
      add(label, query.length + runWords + bridge);
      this.#items.push({ id: item.id, ownOfQuery, own, query, sentenceEnds: sentenceEnds(item.query) });
    }
    this.#runs = runs;
    for (const run of runs.keys()) this.#runFilter.add(run);
  }

  /** Ids of items that no document can hold, because too few of their runs are their own. Items of one word are not among them. */
  get withoutOwnRuns(): readonly string[] {
    return this.#items.flatMap(({ id, own }) => (own < minRuns ? [id] : []));
  }

  /** The items' own runs that a text has, each once, ascending. */
  ownRunsIn(text: string): readonly number[] {
    const document = this.#scanner.read(withoutMarkup(text));
    const found = new Set<number>();
    for (const run of shinglesOf(document.hashes, document.count, runWords))
      if (this.#runFilter.has(run) && this.#runs.has(run)) found.add(run);
    return [...found].sort((a, b) => a - b);
  }

  /** The item that the document holds with the largest share; undefined if it holds none. */
  find(text: string): Contamination | undefined {
    return this.findAll(text).reduce<Contamination | undefined>(
      (best, each) => (best === undefined || each.share > best.share ? each : best),
      undefined,
    );
  }

  /** All items that the document holds. */
  findAll(text: string): readonly Contamination[] {
    const document = this.#scanner.read(withoutMarkup(text));
    return [...this.#longItems(document), ...this.#shortItems(document)];
  }

  *#longItems(document: HashedWords): Generator<Contamination> {
    const hits = new Map<number, Hit[]>();
    const documentRuns = shinglesOf(document.hashes, document.count, runWords);
    for (let at = 0; at < documentRuns.length; at++) {
      const hash = documentRuns[at] ?? 0;
      const run = this.#runFilter.has(hash) ? this.#runs.get(hash) : undefined;
      if (run === undefined) continue;
      const ofItem = hits.get(run.item);
      if (ofItem === undefined) hits.set(run.item, [{ ...run, at }]);
      else ofItem.push({ ...run, at });
    }
    for (const [number, ofItem] of hits) {
      const item = this.#items[number];
      if (item === undefined) continue;
      const { query, all } = covered(ofItem, item.ownOfQuery);
      const share = query / Math.max(1, item.ownOfQuery);
      const places = ofItem.map(({ at }) => at);
      const isHeld = isQuotation(ofItem, item, documentRuns)
        ? share >= quotationShare || all >= quotationRuns
        : share >= minShare && all >= minRuns;
      if (isHeld) yield { item: item.id, share, start: Math.min(...places), end: Math.max(...places) + runWords };
    }
  }

  *#shortItems(document: HashedWords): Generator<Contamination> {
    const { count, hashes } = document;
    for (let start = 0; start + 1 < count; start++) {
      const key = twoWords(hashes[start] ?? 0, hashes[start + 1] ?? 0);
      if (!this.#shortFilter.has(key)) continue;
      for (const { id, query, label } of this.#short.get(key) ?? []) {
        if (!isAt(document, start, query)) continue;
        const from = Math.max(0, start - answerDistance - label.length);
        const to = Math.min(count - label.length, start + query.length + answerDistance);
        for (let at = from; at <= to; at++) {
          const overlaps = at < start + query.length && at + label.length > start;
          if (overlaps || !isAt(document, at, label)) continue;
          yield { item: id, share: 1, start: Math.min(start, at), end: Math.max(start + query.length, at + label.length) };
          break;
        }
      }
    }
  }
}

const twoWords = (first: number, second: number): number => Math.imul(first ^ (second >>> 15) ^ (second << 17), 0x2c1b3c6d) >>> 0;

/** The words of a passage, at most `maxWords`, without markup, case and punctuation. */
export const passageText = (text: string, { start, end }: Contamination, maxWords: number): string =>
  words(text)
    .slice(start, Math.min(end, start + maxWords))
    .join(" ");

/** The runs end where a sentence before the question ends, and no frame of the item, such as its instruction, is before them. */
function isQuotation(hits: readonly Hit[], { query, sentenceEnds }: IndexedItem, document: Uint32Array): boolean {
  const [first] = hits;
  const isFramed = first !== undefined && first.place > 0 && document[first.at - 1] === query[first.place - 1];
  return !isFramed && sentenceEnds.includes(Math.max(...hits.map(({ place }) => place)) + runWords);
}

function sentenceEnds(query: string): number[] {
  const ends: number[] = [];
  let count = 0;
  for (const sentence of query.split(/(?<=[.!?…]["'”’)]?)\s+|\n+/u)) {
    count += words(sentence).length;
    ends.push(count);
  }
  return ends.slice(0, -1);
}

/** Own runs of an item that the document has, and runs between two of them that a changed word destroyed. */
function covered(hits: readonly Hit[], ownOfQuery: number): { readonly query: number; readonly all: number } {
  const isCovered = new Set<number>();
  let last: Hit | undefined;
  for (const hit of hits) {
    isCovered.add(hit.own);
    const distance = last === undefined ? 0 : hit.place - last.place;
    if (last !== undefined && distance > 0 && distance <= bridge && Math.abs(hit.at - last.at - distance) <= bridgeSlack)
      for (let own = last.own + 1; own < hit.own; own++) isCovered.add(own);
    last = hit;
  }
  return { query: [...isCovered].filter((own) => own < ownOfQuery).length, all: isCovered.size };
}

const isAt = (document: HashedWords, start: number, part: readonly string[]): boolean =>
  part.length > 0 && start + part.length <= document.count && part.every((word, i) => document.word(start + i) === word);

const words = (text: string): readonly string[] => wordsOf(withoutMarkup(text));
