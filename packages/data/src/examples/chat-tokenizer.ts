import type { TextTokenizer } from "@lapidary/tokenizer";
import { controlText, missingTurnTokens } from "./example-errors.js";

/** What the chat template needs of a tokenizer. Only this file depends on the tokenizers of Lapidary. */
export interface ChatTokenizer {
  /** One past the greatest id. */
  readonly vocabSize: number;
  readonly control: TurnTokens;
  /**
   * Ids of `text`. A control token never results, also if the text contains its name.
   *
   * @throws LapidaryError `LAP_EXAMPLE_CONTROL_TEXT`
   */
  encode(text: string): readonly number[];
  /** What a table shows for one id. */
  piece(id: number): string;
}

export interface TurnTokens {
  readonly bos: number;
  /** Ends a text without turns. Absent if the tokenizer has none. */
  readonly eos?: number | undefined;
  readonly startOfTurn: number;
  readonly endOfTurn: number;
}

const startOfTurnName = "<start_of_turn>";
const endOfTurnName = "<end_of_turn>";

/**
 * Adapts a tokenizer. `turns` names the ids of the turns for a vocabulary in which they have other names.
 *
 * @throws LapidaryError `LAP_EXAMPLE_TURN_TOKENS`
 */
export function chatTokenizer(tokenizer: TextTokenizer, turns?: Pick<TurnTokens, "startOfTurn" | "endOfTurn">): ChatTokenizer {
  const { bos, eos, stops } = tokenizer.control;
  const startOfTurn = turns?.startOfTurn ?? tokenizer.turns?.startOfTurn ?? idOf(tokenizer, startOfTurnName);
  const endOfTurn = turns?.endOfTurn ?? tokenizer.turns?.endOfTurn ?? idOf(tokenizer, endOfTurnName);
  if (bos === undefined) throw missingTurnTokens("<bos>");
  if (startOfTurn === undefined) throw missingTurnTokens(startOfTurnName);
  if (endOfTurn === undefined) throw missingTurnTokens(endOfTurnName);
  const end = eos ?? stops.find((id) => id !== endOfTurn);
  const special = [bos, startOfTurn, endOfTurn, tokenizer.control.pad, ...(end === undefined ? [] : [end]), ...stops];
  const controlIds = new Set([...special, ...tokenizer.suppressedIds]);
  return {
    vocabSize: tokenizer.vocabSize,
    control: { bos, eos: end, startOfTurn, endOfTurn },
    encode: (text) => encodeText(tokenizer, controlIds, text),
    piece: (id) => tokenizer.decode([id], { special: true }),
  };
}

function idOf(tokenizer: TextTokenizer, name: string): number | undefined {
  const ids = tokenizer.encode(name);
  const [id] = ids;
  return id !== undefined && ids.length === 1 && tokenizer.decode(ids, { special: true }) === name ? id : undefined;
}

/**
 * Tokenizers of Hugging Face read the name of a control token in a text as the token. Such a text is split inside each name, so that the parts
 * contain no name. The result must decode to the same text.
 */
function encodeText(tokenizer: TextTokenizer, controlIds: ReadonlySet<number>, text: string): readonly number[] {
  const ids = tokenizer.encode(text);
  const found = [...new Set(ids)].filter((id) => controlIds.has(id));
  if (found.length === 0) return ids;
  const names = found.map((id) => tokenizer.decode([id], { special: true }));
  let parts: readonly string[] = [text];
  for (const name of names.filter((each) => each.length > 1)) parts = parts.flatMap((part) => splitInside(part, name));
  const split = parts.flatMap((part) => tokenizer.encode(part));
  const isPlain = split.every((id) => !controlIds.has(id));
  if (!isPlain || tokenizer.decode(split) !== tokenizer.decode(ids, { special: true })) throw controlText(names);
  return split;
}

/** `a<bos>b` → `a<`, `bos>b`. */
function splitInside(text: string, name: string): readonly string[] {
  const parts = text.split(name);
  return parts.map((part, i) => (i === 0 ? "" : name.slice(1)) + part + (i === parts.length - 1 ? "" : name.slice(0, 1)));
}

/** The ids of a tokenizer of bytes. */
export interface ByteTokens extends TurnTokens {
  readonly pad: number;
  readonly eos: number;
  readonly unk: number;
  /** Byte `b` has the id `firstByte + b`. */
  readonly firstByte: number;
}

/** A tokenizer without merges: each byte of UTF-8 is a token. It has Gemma's control tokens, and suits tasks of single characters. */
export function byteTokenizerOf({ pad, eos, bos, unk, startOfTurn, endOfTurn, firstByte }: ByteTokens): ChatTokenizer {
  const names = new Map([
    [pad, "<pad>"],
    [eos, "<eos>"],
    [bos, "<bos>"],
    [unk, "<unk>"],
    [startOfTurn, startOfTurnName],
    [endOfTurn, endOfTurnName],
  ]);
  return {
    vocabSize: Math.max(...names.keys(), firstByte + 255) + 1,
    control: { bos, eos, startOfTurn, endOfTurn },
    encode: (text) => Array.from(Buffer.from(text, "utf8"), (byte) => firstByte + byte),
    piece: (id) => {
      const byte = id - firstByte;
      const isPrintable = byte >= 0x20 && byte < 0x7f;
      return names.get(id) ?? (isPrintable ? String.fromCharCode(byte) : `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    },
  };
}

/** The byte tokenizer with the ids of the golden bundles. */
export const byteTokenizer = byteTokenizerOf({ pad: 0, eos: 1, bos: 2, unk: 3, firstByte: 4, startOfTurn: 260, endOfTurn: 261 });
