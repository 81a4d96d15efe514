import { z } from "zod";
import { badTokenizer, unknownTokenId, unsupportedTokenizer } from "../tokenizer-errors.js";
import type { ControlTokens, DecodeOptions, TextStream, TextTokenizer } from "../text-tokenizer.js";
import { firstIssue } from "../tokenizer-json.js";
import { AddedTokens } from "./added-tokens.js";
import { BpeModel } from "./bpe.js";
import { place } from "./component.js";
import { type ControlFiles, controlTokensOf } from "./control-tokens.js";
import { type Decoder, decoderOf } from "./decoders.js";
import { checkListedTokens } from "./listed-tokens.js";
import { type Normalizer, normalizerOf } from "./normalizers.js";
import { type PreTokenizer, preTokenizerOf } from "./pre-tokenizers.js";
import { templateOf } from "./post-processor.js";

/** `truncation` and `padding` apply to batches. As in transformers, a corpus is neither truncated nor padded. */
const fileSchema = z.strictObject({
  version: z.literal("1.0").optional(),
  truncation: z.unknown().optional(),
  padding: z.unknown().optional(),
  added_tokens: z.unknown().optional(),
  normalizer: z.unknown().optional(),
  pre_tokenizer: z.unknown().optional(),
  post_processor: z.unknown().optional(),
  decoder: z.unknown().optional(),
  model: z.looseObject({ type: z.string().optional() }),
});

/**
 * The tokenizer of a Hugging Face checkpoint, exactly as `tokenizers` of PyPI computes it:
 *
 *     text ─► extract added tokens ─► normalizer ─► extract added tokens ─► pre_tokenizer ─► BPE of each word ─► ids
 *     ids  ─► tokens ─► decoder ─► text
 *
 * Invariant: an unsupported part of the file is an error, so every text is encoded as the file defines.
 */
export class HuggingFaceTokenizer implements TextTokenizer {
  readonly vocabSize: number;
  readonly control: ControlTokens;
  readonly suppressedIds: readonly number[];
  readonly #model: BpeModel;
  readonly #added: AddedTokens;
  readonly #normalizer: Normalizer;
  readonly #preTokenize: PreTokenizer;
  readonly #decode: Decoder;

  /**
   * @param json the parsed `tokenizer.json`
   * @param files the other files of the checkpoint, which define control tokens
   * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`, `LAP_DATA_TOKENIZER`
   */
  constructor(json: unknown, file = "tokenizer.json", files: ControlFiles = {}) {
    const at = (path: string): { file: string; path: string } => ({ file, path });
    const parsed = fileSchema.safeParse(json);
    if (!parsed.success) throw badTokenizer(file, firstIssue(parsed.error));
    const { model, added_tokens, normalizer, pre_tokenizer, post_processor, decoder } = parsed.data;
    if ((model.type ?? "BPE") !== "BPE")
      throw unsupportedTokenizer(place(at("model")), `a model of type ${JSON.stringify(model.type)} is not supported; supported is BPE`);
    this.#model = new BpeModel(model, at("model"));
    this.#normalizer = normalizerOf(normalizer, at("normalizer"));
    this.#preTokenize = preTokenizerOf(pre_tokenizer, at("pre_tokenizer"), this.#normalizer.keepsStart);
    this.#added = new AddedTokens(added_tokens, this.#model, this.#normalizer.normalize, at("added_tokens"));
    this.#decode = decoderOf(decoder, at("decoder"));
    this.vocabSize = Math.max(this.#model.end, ...[...this.#added.all].map(({ id }) => id + 1));
    checkListedTokens(files, (token) => this.idOf(token), file);
    const template = post_processor === null || post_processor === undefined ? undefined : templateOf(post_processor, at("post_processor"));
    this.control = controlTokensOf({
      idOf: (token) => this.idOf(token),
      vocabSize: this.vocabSize,
      template,
      files,
      file,
    });
    const stops = new Set(this.control.stops);
    const special = [...this.#added.all].flatMap(({ id, special: isSpecial }) => (isSpecial && !stops.has(id) ? [id] : []));
    this.suppressedIds = [...special, ...this.#unusedIds()];
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    // `tokenizers` reads UTF-8, which cannot represent a lone surrogate.
    for (const part of this.#added.extract(text.replace(/\p{Cs}/gu, "\ufffd"), this.#normalizer.normalize)) {
      if ("id" in part) ids.push(part.id);
      else for (const word of this.#preTokenize(part.text, part.isFirst)) for (const id of this.#model.encode(word)) ids.push(id);
    }
    return ids;
  }

  decode(ids: Iterable<number>, { special = false }: DecodeOptions = {}): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = this.#token(id);
      if (token !== undefined && (special || !this.#added.isSpecial(token))) tokens.push(token);
    }
    return this.#decode(tokens).join("");
  }

  decodeStream(options: DecodeOptions = {}, after: readonly number[] = []): TextStream {
    return new WindowStream((ids) => this.decode(ids, options), after);
  }

  /** The id of a token of the vocabulary or of an added token. */
  idOf(token: string): number | undefined {
    return this.#added.id(token) ?? this.#model.id(token);
  }

  /** Undefined for an id that the file does not assign. */
  #token(id: number): string | undefined {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) throw unknownTokenId(id, this.vocabSize);
    return this.#added.text(id) ?? this.#model.token(id);
  }

  #unusedIds(): number[] {
    return Array.from({ length: this.vocabSize }, (_, id) => id).filter((id) => this.#token(id) === undefined);
  }
}

/** Decodes new tokens together with the preceding tokens, and returns the text that they add (`DecodeStream` of `tokenizers`). */
class WindowStream implements TextStream {
  readonly #decode: (ids: readonly number[]) => string;
  /** Tokens of the text that was returned last, because a decoder may decode a token differently at the start of a text. */
  #before: readonly number[];
  #emitted: string;
  #new: number[] = [];

  constructor(decode: (ids: readonly number[]) => string, after: readonly number[]) {
    this.#decode = decode;
    this.#before = wholeCharacters(decode, after);
    this.#emitted = decode(this.#before);
  }

  push(id: number): string {
    this.#new.push(id);
    const text = this.#decode([...this.#before, ...this.#new]);
    // The token that completes a character returns it.
    if (text.length <= this.#emitted.length || text.endsWith("\ufffd") || !text.startsWith(this.#emitted)) return "";
    const added = text.slice(this.#emitted.length);
    this.#before = this.#new;
    this.#new = [];
    this.#emitted = this.#decode(this.#before);
    return added;
  }

  end(): string {
    const text = this.#decode([...this.#before, ...this.#new]);
    // Bytes that do not complete a character can change the text of the bytes before them, which was already returned.
    return text.startsWith(this.#emitted) ? text.slice(this.#emitted.length) : this.#decode(this.#new);
  }
}

/** The last tokens that form whole characters. */
function wholeCharacters(decode: (ids: readonly number[]) => string, ids: readonly number[]): readonly number[] {
  for (let count = 1; count < Math.min(8, ids.length); count++) {
    const last = ids.slice(-count);
    const text = decode(last);
    if (text !== "" && !text.includes("\ufffd")) return last;
  }
  return ids;
}
