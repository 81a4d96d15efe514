import { assert, LapidaryError } from "@lapidary/std";
import type { ChatTokenizer } from "./chat-tokenizer.js";
import { asTurns, type Example, type Part, type RefusedRow, type RowSource, refusedRow } from "./example.js";
import { badPair, tooLong, wrongKind } from "./example-errors.js";
import { renderDialogue } from "./template.js";

/** The ids of one example, or of a piece of a long text. It begins with its own `<bos>`. */
export interface Document extends RowSource {
  readonly subset?: string | undefined;
  readonly ids: Int32Array;
  /** 1: the token is a target. The first token never is. */
  readonly mask: Uint8Array;
}

/** The two answers to a prompt, each with the prompt before it. */
export interface EncodedPair extends RowSource {
  readonly subset?: string | undefined;
  readonly chosen: Document;
  readonly rejected: Document;
  readonly margin: number;
}

/** A prompt that ends with the start of an answer. */
export interface EncodedPrompt extends RowSource {
  readonly subset?: string | undefined;
  readonly ids: Int32Array;
  /** For the checker. */
  readonly columns: Example["columns"];
}

export interface EncodeOptions {
  /** Tokens of a row. */
  readonly seq: number;
  /** What happens to an example with more tokens: it is refused (default), or its end is cut off. A prompt is always refused, a text is split. */
  readonly overflow?: "refuse" | "cut";
  /** How a prompt and an answer without roles are encoded: as turns of the template (default), or as they are, with `<eos>` after the answer. */
  readonly texts?: "turns" | "raw";
}

/**
 * Encodes examples one by one. A row that cannot be encoded is refused.
 *
 * @param encode one of the functions below
 */
export function encodeExamples<T>(
  examples: readonly Example[],
  encode: (example: Example) => T,
): { readonly encoded: readonly T[]; readonly refused: readonly RefusedRow[] } {
  const encoded: T[] = [];
  const refused: RefusedRow[] = [];
  for (const example of examples) {
    try {
      encoded.push(encode(example));
    } catch (error) {
      // Another error is a mistake of this program, not of the row.
      if (!(error instanceof LapidaryError)) throw error;
      refused.push(refusedRow(example, error));
    }
  }
  return { encoded, refused };
}

/**
 * The documents of an example for supervised fine-tuning: one, or several if a text is longer than a row.
 *
 * @throws LapidaryError `LAP_EXAMPLE_TOO_LONG`, `LAP_EXAMPLE_FORMAT`, `LAP_EXAMPLE_CONTROL_TEXT`
 */
export function encodeForTuning(example: Example, tokenizer: ChatTokenizer, options: EncodeOptions): readonly Document[] {
  switch (example.kind) {
    case "text":
      return splitText(example.text, tokenizer, options.seq).map((body) => documentOf(example, body, tokenizer));
    case "chat":
      return [documentOf(example, fitted(renderDialogue(example.turns, tokenizer), options), tokenizer)];
    case "completion":
      return [documentOf(example, fitted(answered(example.prompt, example.completion, tokenizer, options), options), tokenizer)];
    case "preference":
      throw wrongKind("preference", "supervised fine-tuning", "write `chosen` as `completion`, or use the recipe reward or dpo");
    case "prompt":
      throw wrongKind("prompt", "supervised fine-tuning", "add a `completion`, or use the recipe rl");
  }
}

/**
 * The two rows of a preference.
 *
 * @throws LapidaryError `LAP_EXAMPLE_TOO_LONG`, `LAP_EXAMPLE_PAIR`, `LAP_EXAMPLE_FORMAT`, `LAP_EXAMPLE_CONTROL_TEXT`
 */
export function encodePair(
  example: Example,
  tokenizer: ChatTokenizer,
  { margin = 0, ...options }: EncodeOptions & { readonly margin?: number },
): EncodedPair {
  if (example.kind !== "preference") throw wrongKind(example.kind, "preferences", "write `prompt`, `chosen` and `rejected`");
  const row = (answer: Part): Document =>
    documentOf(example, fitted(answered(example.prompt, answer, tokenizer, options), options), tokenizer);
  const [chosen, rejected] = [row(example.chosen), row(example.rejected)];
  if (chosen.ids.length === rejected.ids.length && chosen.ids.every((id, at) => id === rejected.ids[at]))
    throw badPair("the chosen and the rejected answer have the same tokens");
  return { ...sourceOf(example), chosen, rejected, margin: example.margin ?? margin };
}

/**
 * A prompt for rollouts.
 *
 * @throws LapidaryError `LAP_EXAMPLE_TOO_LONG`, `LAP_EXAMPLE_FORMAT`, `LAP_EXAMPLE_CONTROL_TEXT`
 */
export function encodePrompt(example: Example, tokenizer: ChatTokenizer, options: EncodeOptions): EncodedPrompt {
  if (example.kind !== "prompt")
    throw wrongKind(example.kind, "rollouts", "write only `prompt`, and the values for the checker in other keys");
  const { ids } = prompted(example.prompt, tokenizer, options);
  if (ids.length > options.seq) throw tooLong("prompt", ids.length, options.seq);
  requireOneBos(ids, tokenizer, example);
  return { ...sourceOf(example), ids: Int32Array.from(ids), columns: example.columns };
}

interface Body {
  readonly ids: readonly number[];
  readonly mask: readonly (0 | 1)[];
}

const sourceOf = ({ file, row, subset }: Example): RowSource & { readonly subset?: string | undefined } =>
  subset === undefined ? { file, row } : { file, row, subset };

function documentOf(example: Example, { ids, mask }: Body, tokenizer: ChatTokenizer): Document {
  assert(ids.length === mask.length && mask[0] === 0, "a document begins with a token that is not a target", ids.length, mask.length);
  requireOneBos(ids, tokenizer, example);
  return { ...sourceOf(example), ids: Int32Array.from(ids), mask: Uint8Array.from(mask) };
}

/** A model that was trained with one `<bos>` writes nonsense without it, or after two. */
function requireOneBos(ids: readonly number[], { control: { bos } }: ChatTokenizer, { file, row }: RowSource): void {
  assert(ids[0] === bos && ids.indexOf(bos, 1) < 0, "a row has one <bos>, which is its first token", file, row, ids.slice(0, 4).join(" "));
}

const isRaw = (parts: readonly Part[], { texts = "turns" }: EncodeOptions): boolean =>
  texts === "raw" && parts.every((part) => typeof part === "string");

function prompted(prompt: Part, tokenizer: ChatTokenizer, options: EncodeOptions): Body {
  if (!isRaw([prompt], options)) return renderDialogue(asTurns(prompt, "user"), tokenizer, { generationPrompt: true });
  return masked([tokenizer.control.bos, ...tokenizer.encode(String(prompt))], []);
}

/** A prompt and its answer. The ids of the two are joined, because a tokenizer can merge characters over the boundary of one text. */
function answered(prompt: Part, answer: Part, tokenizer: ChatTokenizer, options: EncodeOptions): Body {
  if (!isRaw([prompt, answer], options)) {
    const before = asTurns(prompt, "user");
    return renderDialogue([...before, ...asTurns(answer, "model")], tokenizer, { trainedFrom: before.length });
  }
  return masked(prompted(prompt, tokenizer, options).ids, [...tokenizer.encode(String(answer)), ...endOf(tokenizer)]);
}

const masked = (before: readonly number[], trained: readonly number[]): Body => ({
  ids: [...before, ...trained],
  mask: [...before.map(() => 0 as const), ...trained.map(() => 1 as const)],
});

const endOf = ({ control: { eos } }: ChatTokenizer): readonly number[] => (eos === undefined ? [] : [eos]);

/** The pieces of a text that is longer than a row. Each begins with `<bos>`, and the last ends with `<eos>`. Each token of the text is one target. */
function splitText(text: string, tokenizer: ChatTokenizer, seq: number): readonly Body[] {
  assert(Number.isInteger(seq) && seq > 1, "a row has at least two tokens", seq);
  const ids = [...tokenizer.encode(text), ...endOf(tokenizer)];
  const pieces = Math.ceil(ids.length / (seq - 1));
  return Array.from({ length: pieces }, (_, at) => masked([tokenizer.control.bos], ids.slice(at * (seq - 1), (at + 1) * (seq - 1))));
}

/** @throws LapidaryError `LAP_EXAMPLE_TOO_LONG` also if nothing that is trained remains after the cut */
function fitted({ ids, mask }: Body, { seq, overflow = "refuse" }: EncodeOptions): Body {
  if (ids.length <= seq) return { ids, mask };
  const firstTrained = mask.indexOf(1);
  if (overflow === "refuse") throw tooLong("example", ids.length, seq);
  if (firstTrained < 0 || firstTrained >= seq) throw tooLong("part before the answer", firstTrained < 0 ? ids.length : firstTrained, seq);
  return { ids: ids.slice(0, seq), mask: mask.slice(0, seq) };
}
