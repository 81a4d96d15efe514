import { z } from "zod";
import { badTokenizer, unsupportedTokenizer } from "../tokenizer-errors.js";
import { firstIssue } from "../tokenizer-json.js";
import { type Location, place } from "./component.js";
import { TokenTrie } from "./token-trie.js";

const addedTokenSchema = z.strictObject({
  id: z.number().int().nonnegative(),
  content: z.string().min(1),
  single_word: z.boolean(),
  lstrip: z.boolean(),
  rstrip: z.boolean(),
  normalized: z.boolean(),
  special: z.boolean(),
});
export type AddedToken = Readonly<z.infer<typeof addedTokenSchema>>;

/** A stretch of a text: an added token by its id, or text. */
export type Segment = { readonly id: number } | { readonly text: string; readonly isFirst: boolean };

/** A word character as in Rust's `regex`. */
const word = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`;

/**
 * The `added_tokens` of a `tokenizer.json`: each has one id wherever its text appears. Those that are not `normalized` are found in the text as
 * it is, the others in what the normalizer made of it (added_vocabulary.rs of `tokenizers`).
 */
export class AddedTokens {
  readonly #byId: ReadonlyMap<number, AddedToken>;
  readonly #byContent: ReadonlyMap<string, AddedToken>;
  readonly #texts = new Map<number, string>();
  readonly #asWritten = new TokenTrie();
  readonly #asNormalized = new TokenTrie();
  readonly #startsWithWord = new RegExp(`${word}`, "uy");
  readonly #spaces = /\p{White_Space}+/uy;

  /**
   * @param model the vocabulary, which decides the ids of the tokens that it has
   * @throws LapidaryError `LAP_DATA_TOKENIZER`, `LAP_TOKENIZER_UNSUPPORTED`
   */
  constructor(json: unknown, model: VocabularyOf, normalize: (text: string) => string, at: Location) {
    const parsed = z.array(addedTokenSchema).nullish().safeParse(json);
    if (!parsed.success) throw unsupportedTokenizer(place(at), firstIssue(parsed.error));
    const tokens = parsed.data ?? [];
    checkIds(tokens, model, at);
    this.#byId = new Map(tokens.map((token) => [token.id, token]));
    this.#byContent = new Map(tokens.map((token) => [token.content, token]));
    // Where two normalize to the same text, a special one is found first.
    for (const token of [...tokens].sort((a, b) => Number(b.special) - Number(a.special))) {
      const text = token.normalized ? normalize(token.content) : token.content;
      if (text === "") throw unsupportedTokenizer(place(at), `the normalizer makes an empty text of ${JSON.stringify(token.content)}`);
      this.#texts.set(token.id, text);
      (token.normalized ? this.#asNormalized : this.#asWritten).add(text, token.id);
    }
  }

  id(content: string): number | undefined {
    return this.#byContent.get(content)?.id;
  }

  /** The text of an added token as decoders take it: normalized where the token is found in normalized text. */
  text(id: number): string | undefined {
    return this.#texts.get(id);
  }

  /** Whether a decoder leaves out a token of this text. A special token whose normalized text is another is not left out, as in `tokenizers`. */
  isSpecial(text: string): boolean {
    return this.#byContent.get(text)?.special ?? false;
  }

  /** Added tokens, for lists of control tokens. */
  get all(): Iterable<AddedToken> {
    return this.#byId.values();
  }

  /** Takes the added tokens out of a text, and normalizes what is between them. No text of the result is empty. */
  extract(text: string, normalize: (text: string) => string): Segment[] {
    return this.#split(text, this.#asWritten, true).flatMap((segment): Segment[] =>
      "id" in segment ? [segment] : this.#split(normalize(segment.text), this.#asNormalized, segment.isFirst),
    );
  }

  #split(text: string, trie: TokenTrie, isFirst: boolean): Segment[] {
    const segments: Segment[] = [];
    const push = (from: number, to: number): void => {
      if (from < to) segments.push({ text: text.slice(from, to), isFirst: isFirst && from === 0 });
    };
    let done = 0;
    for (const match of trie.matches(text)) {
      const token = this.#byId.get(match.id);
      if (token === undefined) continue;
      let [start, end] = [match.start, match.end];
      if (token.single_word && (this.#endsWithWord(text, start) || this.#isWordAt(text, end))) continue;
      // Whitespace that a token before it took is not taken twice.
      if (token.lstrip) start = Math.max(spacesBefore(text, start), done);
      if (token.rstrip) end = this.#spacesAfter(text, end);
      push(done, start);
      if (start < end) segments.push({ id: token.id });
      done = end;
    }
    push(done, text.length);
    return segments;
  }

  #isWordAt(text: string, at: number): boolean {
    this.#startsWithWord.lastIndex = at;
    return this.#startsWithWord.test(text);
  }

  #endsWithWord(text: string, end: number): boolean {
    if (end === 0) return false;
    const isPair = end > 1 && (text.codePointAt(end - 2) ?? 0) > 0xffff;
    return this.#isWordAt(text, end - (isPair ? 2 : 1));
  }

  #spacesAfter(text: string, at: number): number {
    this.#spaces.lastIndex = at;
    return this.#spaces.test(text) ? this.#spaces.lastIndex : at;
  }
}

/** Where the whitespace in front of `end` begins. */
function spacesBefore(text: string, end: number): number {
  let start = end;
  while (start > 0 && /\p{White_Space}/u.test(text.charAt(start - 1))) start--;
  return start;
}

export interface VocabularyOf {
  readonly size: number;
  id(token: string): number | undefined;
  token(id: number): string | undefined;
}

/** `tokenizers` gives a token that the vocabulary lacks the next free id, whatever the file says: both must agree. */
function checkIds(tokens: readonly AddedToken[], model: VocabularyOf, at: Location): void {
  const seen = new Map<string, AddedToken>();
  let greatest = -1;
  for (const [i, token] of tokens.entries()) {
    const where = place({ ...at, path: `${at.path}[${i}]` });
    const { id, content } = token;
    if (seen.has(content)) throw badTokenizer(where, `${JSON.stringify(content)} is added twice`);
    seen.set(content, token);
    const wanted = model.id(content) ?? (greatest >= model.size ? greatest + 1 : model.size);
    if (id !== wanted)
      throw badTokenizer(
        where,
        `${JSON.stringify(content)} states the id ${id}, but \`tokenizers\` gives it ${wanted}: the vocabulary decides`,
      );
    const other = model.token(id);
    if (other !== undefined && other !== content)
      throw badTokenizer(where, `${JSON.stringify(content)} and ${JSON.stringify(other)} of the vocabulary have the same id, ${id}`);
    greatest = Math.max(greatest, id);
  }
}
