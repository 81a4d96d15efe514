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

/** A part of a text: an added token by its id, or text. */
export type TokenOrText = { readonly id: number } | { readonly text: string; readonly isFirst: boolean };

/** A word character as in Rust's `regex`. */
const word = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`;

/**
 * The `added_tokens` of a `tokenizer.json`. Every occurrence of the text of an added token has the same id. Tokens that are not
 * `normalized` are searched in the unchanged text, the others in the normalized text (added_vocabulary.rs of `tokenizers`).
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
   * @param model the vocabulary: it determines the ids of its tokens
   * @throws LapidaryError `LAP_DATA_TOKENIZER`, `LAP_TOKENIZER_UNSUPPORTED`
   */
  constructor(json: unknown, model: VocabularyOf, normalize: (text: string) => string, at: Location) {
    const parsed = z.array(addedTokenSchema).nullish().safeParse(json);
    if (!parsed.success) throw unsupportedTokenizer(place(at), firstIssue(parsed.error));
    const tokens = parsed.data ?? [];
    checkIds(tokens, model, at);
    this.#byId = new Map(tokens.map((token) => [token.id, token]));
    this.#byContent = new Map(tokens.map((token) => [token.content, token]));
    // If two tokens normalize to the same text, the trie finds the token that was added first: a special one.
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

  /** The text of an added token for decoders: normalized if the token is `normalized`. */
  text(id: number): string | undefined {
    return this.#texts.get(id);
  }

  /** Whether decoding omits a token with this text. As in `tokenizers`, a special token that normalization changes is not omitted. */
  isSpecial(text: string): boolean {
    return this.#byContent.get(text)?.special ?? false;
  }

  /** Added tokens, for lists of control tokens. */
  get all(): Iterable<AddedToken> {
    return this.#byId.values();
  }

  /** Extracts the added tokens of a text, and normalizes the text between them. No text of the result is empty. */
  extract(text: string, normalize: (text: string) => string): TokenOrText[] {
    return this.#split(text, this.#asWritten, true).flatMap((part): TokenOrText[] =>
      "id" in part ? [part] : this.#split(normalize(part.text), this.#asNormalized, part.isFirst),
    );
  }

  #split(text: string, trie: TokenTrie, isFirst: boolean): TokenOrText[] {
    const found: TokenOrText[] = [];
    const push = (from: number, to: number): void => {
      if (from < to) found.push({ text: text.slice(from, to), isFirst: isFirst && from === 0 });
    };
    let done = 0;
    for (const match of trie.matches(text)) {
      const token = this.#byId.get(match.id);
      if (token === undefined) continue;
      let [start, end] = [match.start, match.end];
      if (token.single_word && (this.#endsWithWord(text, start) || this.#isWordAt(text, end))) continue;
      // The preceding token may include this whitespace already.
      if (token.lstrip) start = Math.max(spacesBefore(text, start), done);
      if (token.rstrip) end = this.#spacesAfter(text, end);
      push(done, start);
      if (start < end) found.push({ id: token.id });
      done = end;
    }
    push(done, text.length);
    return found;
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

/** The start of the whitespace before `end`. */
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

/** `tokenizers` assigns the next free id to a token that the vocabulary lacks, and ignores the id in the file. Both ids must be equal. */
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
        `${JSON.stringify(content)} has the id ${id}, but \`tokenizers\` assigns ${wanted}: the vocabulary determines it`,
      );
    const other = model.token(id);
    if (other !== undefined && other !== content)
      throw badTokenizer(where, `${JSON.stringify(content)} and ${JSON.stringify(other)} of the vocabulary have the same id, ${id}`);
    greatest = Math.max(greatest, id);
  }
}
