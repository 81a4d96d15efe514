import { type TextTokenizer } from "./text-tokenizer.js";
import { filesOfTrained, type TokenizerFiles } from "./tokenizer-files.js";
import { Tokenizer } from "./tokenizer.js";
import { turnNames } from "./vocabulary.js";

/**
 * A tokenizer that Lapidary trained, with the control tokens of dialogues. A trained tokenizer has none. They take two unused ids. If all ids are
 * used, the last merges are removed until two ids are free: these pieces are the rarest, and every text remains encodable, because a piece is also
 * the sequence of its parts. Ids of other pieces do not change, so the weights of the model keep their meaning.
 *
 * @returns undefined for a tokenizer of Hugging Face, for one that has turn tokens, and for one without merges to remove
 */
export function withTurnTokens(
  tokenizer: TextTokenizer,
): { readonly tokenizer: TextTokenizer; readonly files: TokenizerFiles } | undefined {
  if (!(tokenizer instanceof Tokenizer) || tokenizer.turns !== undefined) return undefined;
  const { vocabSize, alphabet } = tokenizer;
  let shorter = tokenizer;
  while (shorter.usedSize + turnNames.length > vocabSize) {
    const removed = Math.max(1, shorter.usedSize + turnNames.length - vocabSize);
    if (removed > shorter.merges.length) return undefined;
    shorter = new Tokenizer({ vocabSize, alphabet, merges: shorter.merges.slice(0, -removed) });
  }
  const chat = new Tokenizer({ vocabSize, alphabet, merges: shorter.merges, turns: true });
  return { tokenizer: chat, files: filesOfTrained(chat) };
}
