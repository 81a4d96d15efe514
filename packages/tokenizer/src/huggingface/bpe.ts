import { ensure } from "@lapidary/std";
import { z } from "zod";
import { badTokenizer, unsupportedTokenizer } from "../tokenizer-errors.js";
import { inside, keysOf, type Location, place } from "./component.js";
import { mergeAll } from "./merge.js";
import { MergeTable, type PairMerges } from "./merge-table.js";

const bpeSchema = z.strictObject({
  type: z.literal("BPE").optional(),
  dropout: z.number().nullish(),
  unk_token: z.string().nullish(),
  continuing_subword_prefix: z.string().nullish(),
  end_of_word_suffix: z.string().nullish(),
  fuse_unk: z.boolean().default(false),
  byte_fallback: z.boolean().default(false),
  ignore_merges: z.boolean().default(false),
  vocab: z.custom<Readonly<Record<string, unknown>>>((value) => typeof value === "object" && value !== null && !Array.isArray(value)),
  merges: z.array(z.unknown()),
});
type Bpe = z.infer<typeof bpeSchema>;

/** Ids are stored in 32 bits. The largest vocabularies have about 300,000 ids. */
const maxIds = 2 ** 24;
/** Maximum number of cached words and their maximum length. A full cache is cleared. */
const [cacheSize, longestCached] = [1 << 17, 64];

/**
 * The `model` of a `tokenizer.json`: byte-pair encoding as in `tokenizers` (models/bpe).
 *
 * Invariant: the ids of a word depend only on the word.
 */
export class BpeModel {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #tokens: ReadonlyMap<number, string>;
  /** Undefined if words are never split. */
  readonly #mergedBeforeMarker: ReadonlySet<string> | undefined;
  readonly #merges: MergeTable;
  readonly #unknown: number | undefined;
  readonly #keys: Bpe;
  /** Ids of `<0x00>` to `<0xFF>`; undefined if the vocabulary lacks one. */
  readonly #bytes: readonly (number | undefined)[];
  readonly #cache = new Map<string, readonly number[]>();

  /** @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`, `LAP_DATA_TOKENIZER` */
  constructor(json: unknown, at: Location) {
    const keys = keysOf(bpeSchema, json, at);
    this.#keys = keys;
    ({ ids: this.#ids, tokens: this.#tokens } = readVocabulary(keys.vocab, inside(at, "vocab")));
    const merges = readMerges(keys, this.#ids, inside(at, "merges"));
    this.#merges = new MergeTable(merges);
    const isAffixed = (keys.continuing_subword_prefix ?? "") !== "" || (keys.end_of_word_suffix ?? "") !== "";
    this.#mergedBeforeMarker = isAffixed ? undefined : charactersBeforeMarker(merges, this.#tokens);
    this.#unknown = keys.unk_token === null || keys.unk_token === undefined ? undefined : this.#ids.get(keys.unk_token);
    if ((keys.dropout ?? 0) !== 0)
      throw unsupportedTokenizer(
        place(inside(at, "dropout")),
        `dropout ${keys.dropout} draws other ids each time; the text of a corpus needs one encoding (set dropout to null)`,
      );
    if (typeof keys.unk_token === "string" && this.#unknown === undefined)
      throw badTokenizer(place(inside(at, "unk_token")), `${JSON.stringify(keys.unk_token)} is not in the vocabulary`);
    this.#bytes = Array.from({ length: 256 }, (_, byte) => this.#ids.get(byteToken(byte)));
  }

  /** Entries of the vocabulary. */
  get size(): number {
    return this.#ids.size;
  }

  /** One past the greatest id. */
  get end(): number {
    let end = 0;
    for (const id of this.#tokens.keys()) end = Math.max(end, id + 1);
    return end;
  }

  id(token: string): number | undefined {
    return this.#ids.get(token);
  }

  token(id: number): string | undefined {
    return this.#tokens.get(id);
  }

  /** Ids of one word. */
  encode(word: string): readonly number[] {
    if (word.length <= longestCached) return this.#encodeShort(word);
    const whole = this.#keys.ignore_merges ? this.#ids.get(word) : undefined;
    if (whole !== undefined) return [whole];
    const parts = this.#partsOf(word);
    return parts.length === 1
      ? mergeAll(this.#spell(word), this.#merges)
      : parts.flatMap((part) => (part.length <= longestCached ? this.#encodePart(part) : mergeAll(this.#spell(part), this.#merges)));
  }

  #encodeShort(word: string): readonly number[] {
    const whole = this.#keys.ignore_merges ? this.#ids.get(word) : undefined;
    return whole === undefined ? this.#encodePart(word) : [whole];
  }

  #encodePart(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known !== undefined) return known;
    const ids = mergeAll(this.#spell(word), this.#merges);
    if (this.#cache.size >= cacheSize) this.#cache.clear();
    // A copy, because a slice would keep the whole long text in memory.
    this.#cache.set(Buffer.from(word, "utf16le").toString("utf16le"), ids);
    return ids;
  }

  /**
   * Splits a long word before a `▁` that no merge can join to the preceding character: no merged token contains both in this order. For
   * tokenizers such as Gemma's a whole text is one word. Its parts repeat, so the cache is effective.
   */
  #partsOf(word: string): string[] {
    const merged = this.#mergedBeforeMarker;
    if (merged === undefined) return [word];
    const parts: string[] = [];
    let start = 0;
    for (let at = word.indexOf(spaceMarker, 1); at >= 0; at = word.indexOf(spaceMarker, at + 1)) {
      const before = word.charAt(at - 1);
      // A character that the vocabulary lacks may be part of a fused unknown token.
      if (merged.has(before) || !this.#ids.has(before)) continue;
      parts.push(word.slice(start, at));
      start = at;
    }
    parts.push(word.slice(start));
    return parts;
  }

  /** One id for each character; the ids of its bytes or the unknown token if the vocabulary lacks the character. */
  #spell(word: string): number[] {
    const { continuing_subword_prefix: prefix, end_of_word_suffix: suffix, byte_fallback, fuse_unk } = this.#keys;
    const ids: number[] = [];
    let isUnknownPending = false;
    const flush = (): void => {
      if (isUnknownPending) ids.push(ensure(this.#unknown, "unknown token"));
      isUnknownPending = false;
    };
    for (let at = 0; at < word.length; ) {
      const end = at + ((word.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
      const written = `${at > 0 ? (prefix ?? "") : ""}${word.slice(at, end)}${end === word.length ? (suffix ?? "") : ""}`;
      at = end;
      const id = this.#ids.get(written);
      const bytes = id === undefined && byte_fallback ? this.#bytesOf(written) : undefined;
      if (id !== undefined) {
        flush();
        ids.push(id);
      } else if (bytes !== undefined) ids.push(...bytes);
      else if (this.#unknown !== undefined) {
        if (!fuse_unk) flush();
        isUnknownPending = true;
      }
    }
    flush();
    return ids;
  }

  #bytesOf(text: string): number[] | undefined {
    const ids: number[] = [];
    for (const byte of Buffer.from(text, "utf8")) {
      const id = this.#bytes[byte];
      if (id === undefined) return undefined;
      ids.push(id);
    }
    return ids;
  }
}

const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

/** Represents a space in tokenizers such as Gemma's. */
const spaceMarker = "▁";

/** The characters (UTF-16 units) that precede a `▁` in any merged token. */
function charactersBeforeMarker({ mergedIds }: PairMerges, tokens: ReadonlyMap<number, string>): Set<string> {
  const characters = new Set<string>();
  for (const id of mergedIds) {
    const token = tokens.get(id) ?? "";
    for (let at = token.indexOf(spaceMarker, 1); at >= 0; at = token.indexOf(spaceMarker, at + 1)) characters.add(token.charAt(at - 1));
  }
  return characters;
}

interface Vocabulary {
  readonly ids: ReadonlyMap<string, number>;
  readonly tokens: ReadonlyMap<number, string>;
}

function readVocabulary(vocab: Bpe["vocab"], at: Location): Vocabulary {
  const ids = new Map<string, number>();
  const tokens = new Map<number, string>();
  for (const [token, id] of Object.entries(vocab)) {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= maxIds)
      throw badTokenizer(
        place(at),
        `${JSON.stringify(token)} has the id ${JSON.stringify(id)}, not a whole number from 0 to ${maxIds - 1}`,
      );
    const other = tokens.get(id);
    if (other !== undefined) throw badTokenizer(place(at), `${JSON.stringify(other)} and ${JSON.stringify(token)} have the same id, ${id}`);
    ids.set(token, id);
    tokens.set(id, token);
  }
  if (ids.size === 0) throw badTokenizer(place(at), "the vocabulary is empty");
  return { ids, tokens };
}

/** Merges are `["a", "b"]`, or `"a b"` in files of versions before tokenizers 0.20. */
function readMerges(keys: Bpe, ids: ReadonlyMap<string, number>, at: Location): PairMerges {
  const prefixLength = keys.continuing_subword_prefix?.length ?? 0;
  const lines = keys.merges.filter((merge) => typeof merge !== "string" || !merge.startsWith("#version"));
  const [left, right, mergedIds] = [new Int32Array(lines.length), new Int32Array(lines.length), new Int32Array(lines.length)];
  for (const [rank, merge] of lines.entries()) {
    const where = { ...at, path: `${at.path}[${rank}]` };
    const [a, b] = pairOf(merge, where);
    left[rank] = idOf(a, ids, where);
    right[rank] = idOf(b, ids, where);
    mergedIds[rank] = idOf(a + b.slice(prefixLength), ids, where);
  }
  return { left, right, mergedIds };
}

function pairOf(merge: unknown, at: Location): readonly [string, string] {
  const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
  const [a, b, ...more] = Array.isArray(parts) ? (parts as unknown[]) : [];
  if (typeof a === "string" && typeof b === "string" && more.length === 0) return [a, b];
  throw badTokenizer(place(at), `${JSON.stringify(merge)} is not a pair of tokens`);
}

function idOf(token: string, ids: ReadonlyMap<string, number>, at: Location): number {
  const id = ids.get(token);
  if (id === undefined) throw badTokenizer(place(at), `${JSON.stringify(token)} is not in the vocabulary`);
  return id;
}
