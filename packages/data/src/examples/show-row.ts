import { textTable } from "@lapidary/std";
import type { ChatTokenizer } from "./chat-tokenizer.js";
import type { TrainingRow } from "./training-batch.js";

/** One token of a row, for a table or JSON. */
export interface ShownToken {
  readonly position: number;
  readonly id: number;
  readonly piece: string;
  /** Whether the token is a target. */
  readonly isTrained: boolean;
  readonly segment: number;
}

/** The tokens of a row without its padding. */
export function shownTokens({ ids, mask, segments }: TrainingRow, tokenizer: ChatTokenizer): readonly ShownToken[] {
  return Array.from(ids, (id, position) => ({
    position,
    id,
    piece: tokenizer.piece(id),
    isTrained: mask[position] === 1,
    segment: segments[position] ?? 0,
  })).filter(({ segment }) => segment > 0);
}

/** A table of a row: what the model reads, and on what it is trained. A control character in a piece is escaped, as in JSON. */
export function showRow(row: TrainingRow, tokenizer: ChatTokenizer): string {
  const tokens = shownTokens(row, tokenizer);
  const table = textTable(
    [
      { title: "position", align: "right" },
      { title: "id", align: "right" },
      { title: "piece" },
      { title: "mask" },
      { title: "segment", align: "right" },
    ],
    tokens.map(({ position, id, piece, isTrained, segment }) => [
      String(position),
      String(id),
      JSON.stringify(piece),
      isTrained ? "1" : "0",
      String(segment),
    ]),
  );
  const trained = tokens.filter(({ isTrained }) => isTrained).length;
  return `${table}\n${tokens.length} tokens, ${trained} trained, ${row.ids.length - tokens.length} padding`;
}
