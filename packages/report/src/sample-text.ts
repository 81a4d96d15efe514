import { visible, wrap } from "@lapidary/std";
import type { Paint } from "./paint.js";

/** A prompt and its continuation, with a bar before each line. Long lines are wrapped, and control characters are replaced. */
export function sampleText(sample: { readonly prompt: string; readonly text: string }, columns: number, paint: Paint): string {
  const whole = visible(sample.text.startsWith(sample.prompt) ? sample.text : sample.prompt + sample.text);
  const prompt = visible(sample.prompt);
  const lines = wrap(whole, Math.max(20, Math.min(columns - 6, 100)));
  let left = prompt.length;
  return lines
    .map(({ text, length }) => {
      const cut = Math.max(0, Math.min(text.length, left));
      left -= length;
      return `  ${paint.dim("│")} ${paint.bold(text.slice(0, cut))}${text.slice(cut)}`.trimEnd();
    })
    .join("\n");
}

/** Several texts, each below a line with its prompt. */
export function sampleTexts(
  texts: readonly { readonly prompt: string; readonly text: string; readonly seed: number }[],
  { isChat, columns, paint }: { readonly isChat: boolean; readonly columns: number; readonly paint: Paint },
): string {
  return texts
    .map(({ prompt, text, seed }) => {
      const title = visible(prompt).replaceAll("\n", " ");
      const short = title.length > columns - 20 ? `${title.slice(0, Math.max(10, columns - 21))}…` : title;
      return `${paint.dim(`seed ${seed}`)}  ${short}\n${sampleText({ prompt: isChat ? "" : prompt, text }, columns, paint)}`;
    })
    .join("\n\n");
}

/** Writes a text piece by piece in the form of `sampleText`. Holds back an incomplete word until it knows the line of the word. */
export class SampleStream {
  readonly #width: number;
  #column = 0;
  #word = "";
  #isBold = false;
  #hasBegun = false;

  constructor(
    columns: number,
    private readonly paint: Paint,
    private readonly write: (text: string) => void,
  ) {
    this.#width = Math.max(20, Math.min(columns - 6, 100));
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  begin(prompt: string): void {
    this.#hasBegun = true;
    this.write(this.#bar);
    this.#isBold = true;
    this.push(prompt);
    this.#flush();
    this.#isBold = false;
  }

  push(text: string): void {
    for (const character of visible(text)) {
      if (character === "\n") {
        this.#flush();
        this.#newLine();
        continue;
      }
      this.#word += character;
      if (character === " " || this.#word.length >= this.#width) this.#flush();
    }
  }

  end(): void {
    this.#flush();
    if (this.#hasBegun) this.write("\n");
  }

  get #bar(): string {
    return `  ${this.paint.dim("│")} `;
  }

  #newLine(): void {
    this.write(`\n${this.#bar}`);
    this.#column = 0;
  }

  #flush(): void {
    if (this.#word === "") return;
    if (this.#column > 0 && this.#column + this.#word.trimEnd().length > this.#width) this.#newLine();
    this.write(this.#isBold ? this.paint.bold(this.#word) : this.#word);
    this.#column += this.#word.length;
    this.#word = "";
  }
}
