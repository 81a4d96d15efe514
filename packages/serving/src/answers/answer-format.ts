import type { RowEnd, TokenTextStream } from "../engine.js";
import type { ChoiceDelta, ReleasedToken } from "../generation/choice.js";

/** A complete choice. */
export interface FinishedChoice {
  readonly index: number;
  readonly text: string;
  readonly tokens: readonly ReleasedToken[];
  readonly finish: RowEnd;
}

/** The text of one token. */
export type TokenText = (id: number) => string;

export interface FormatContext {
  readonly tokenText: TokenText;
  readonly withLogprobs: boolean;
}

/** The JSON of one endpoint. */
export interface AnswerFormat {
  /** Prefix of the `id` of an answer. */
  readonly idPrefix: string;
  /** `object` of a whole answer. */
  readonly answerObject: string;
  /** `object` of an event of a stream. */
  readonly eventObject: string;
  /** The first event of a choice in a stream, if it has one. */
  openChoice?(index: number): unknown;
  /** Entries of `choices` for a delta, each in an event of its own. */
  deltaChoices(delta: ChoiceDelta, context: FormatContext): readonly unknown[];
  /** An entry of `choices` in a whole answer. */
  choice(choice: FinishedChoice, context: FormatContext): unknown;
}

/** Whether a delta changes the answer. */
export const isVisible = ({ text, tokens, finish }: ChoiceDelta): boolean => text !== "" || tokens.length > 0 || finish !== undefined;

/** The text of each token on its own. A token of an incomplete character is U+FFFD. */
export function tokenTextOf(decodeStream: (after: readonly number[]) => TokenTextStream): TokenText {
  return (id) => {
    const stream = decodeStream([]);
    return stream.push(id) + stream.end();
  };
}
