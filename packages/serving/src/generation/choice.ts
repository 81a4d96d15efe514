import type { GeneratedToken, RowEnd, TokenTextStream } from "../engine.js";
import type { StopStrings } from "./stop-strings.js";

/** A generated token whose text was released. */
export interface ReleasedToken {
  readonly token: GeneratedToken;
  /** Position of the first character of the token in the text of the choice. */
  readonly offset: number;
}

/** What one token, or the end, adds to a choice. */
export interface ChoiceDelta {
  readonly index: number;
  readonly text: string;
  /** The tokens of `text`. Empty if the request has no log probabilities. */
  readonly tokens: readonly ReleasedToken[];
  /** Present in the last delta of a choice. */
  readonly finish?: RowEnd;
}

export interface ChoiceOptions {
  readonly index: number;
  readonly stream: TokenTextStream;
  readonly stops: StopStrings;
  /** Text that precedes the generated text in the answer. */
  readonly echo: string;
  /** Whether deltas have tokens. */
  readonly withTokens: boolean;
}

/** The text of one choice: decodes tokens, and ends at a stop string. */
export class Choice {
  readonly #options: ChoiceOptions;
  /** Characters of echo and all decoded text, with the text that is held back. */
  #decoded: number;
  #released: number;
  /** Tokens whose text is held back. */
  #pending: ReleasedToken[] = [];
  #tokens = 0;

  constructor(options: ChoiceOptions) {
    this.#options = options;
    this.#decoded = options.echo.length;
    this.#released = options.echo.length;
  }

  /** Number of generated tokens. */
  get tokens(): number {
    return this.#tokens;
  }

  push(token: GeneratedToken): ChoiceDelta {
    const { stream, withTokens } = this.#options;
    this.#tokens++;
    if (withTokens) this.#pending.push({ token, offset: this.#decoded });
    return this.#release(stream.push(token.id));
  }

  end(reason: RowEnd): ChoiceDelta {
    const { stream, stops, index } = this.#options;
    const { text, tokens, finish } = this.#release(stream.end());
    if (finish !== undefined) return { index, text, tokens, finish };
    const rest = this.#pending;
    this.#pending = [];
    return { index, text: text + stops.end(), tokens: [...tokens, ...rest], finish: reason };
  }

  #release(piece: string): ChoiceDelta {
    const { index, stops } = this.#options;
    const { text, stopped } = stops.push(piece);
    this.#decoded += piece.length;
    this.#released += text.length;
    const isReleased = ({ offset }: ReleasedToken): boolean => offset < this.#released;
    const tokens = this.#pending.filter(isReleased);
    this.#pending = stopped ? [] : this.#pending.filter((each) => !isReleased(each));
    return { index, text, tokens, ...(stopped ? { finish: "stop" } : {}) };
  }
}
