import { assert } from "@lapidary/std";
import type { ChatTokenizer } from "./chat-tokenizer.js";
import type { Turn } from "./example.js";

/**
 * Gemma's chat template:
 *
 *     <bos> <start_of_turn> user \n text <end_of_turn> \n <start_of_turn> model \n text <end_of_turn> \n …
 *     └──────────────────────── mask 0 ──────────────────────────────────────────┘ └──── mask 1 ─────┘
 *
 * The template makes ids from parts, never from one text that is tokenized again. So a text cannot become a control token, and exactly one `<bos>`
 * comes first.
 */
export interface Rendered {
  /** For people. Contents that contain names of control tokens are ambiguous in it. */
  readonly text: string;
  readonly ids: readonly number[];
  /** 1: the token is trained. */
  readonly mask: readonly (0 | 1)[];
}

export interface RenderOptions {
  /** Ends with the start of a turn of the model. */
  readonly generationPrompt?: boolean;
  /** Index of the first turn whose text is trained if it is the model's; 0 by default. */
  readonly trainedFrom?: number;
}

/** @param turns in the order that `roleProblem` accepts */
export function renderDialogue(turns: readonly Turn[], tokenizer: ChatTokenizer, options: RenderOptions = {}): Rendered {
  const problem = roleProblem(turns);
  assert(problem === undefined, "the roles of a dialogue are checked before it is rendered", problem);
  const { bos, startOfTurn, endOfTurn } = tokenizer.control;
  const ids: number[] = [bos];
  const mask: (0 | 1)[] = [0];
  let text = "<bos>";
  const add = (added: readonly number[], isTrained: boolean): void => {
    for (const id of added) ids.push(id);
    for (let i = 0; i < added.length; i++) mask.push(isTrained ? 1 : 0);
  };
  const { trainedFrom = 0, generationPrompt = false } = options;
  for (const [at, { role, content }] of withoutSystem(turns).entries()) {
    const trimmed = trim(content);
    const index = turns[0]?.role === "system" ? at + 1 : at;
    add([startOfTurn, ...tokenizer.encode(`${role}\n`)], false);
    const isTrained = role === "model" && index >= trainedFrom;
    if (trimmed !== "") add(tokenizer.encode(trimmed), isTrained);
    add([endOfTurn, ...tokenizer.encode("\n")], isTrained);
    text += `<start_of_turn>${role}\n${trimmed}<end_of_turn>\n`;
  }
  if (generationPrompt) {
    add([startOfTurn, ...tokenizer.encode("model\n")], false);
    text += "<start_of_turn>model\n";
  }
  return { text, ids, mask };
}

/** The ids of a dialogue that a user begins with `text`, up to the start of the model's answer. */
export const promptOfUser = (text: string, tokenizer: ChatTokenizer): readonly number[] =>
  renderDialogue([{ role: "user", content: text }], tokenizer, { generationPrompt: true }).ids;

/** Why the template refuses a dialogue. Undefined if it accepts the dialogue. */
export function roleProblem(turns: readonly Turn[]): string | undefined {
  const hasSystem = turns[0]?.role === "system";
  const rest = hasSystem ? turns.slice(1) : turns;
  if (rest.length === 0) return hasSystem ? "the dialogue has only a system text" : "the dialogue has no turns";
  for (const [at, { role }] of rest.entries()) {
    const expected = at % 2 === 0 ? "user" : "model";
    if (role === expected) continue;
    const turn = `turn ${at + 1 + (hasSystem ? 1 : 0)}`;
    return role === "system"
      ? `${turn} is a system text, which only the first turn may be`
      : `${turn} has the role ${role}, expected ${expected}: roles alternate, and the user begins`;
  }
  return undefined;
}

/** The turns with the system text before the text of the first user. */
function withoutSystem(turns: readonly Turn[]): readonly Turn[] {
  const [system, first, ...rest] = turns;
  if (system?.role !== "system" || first === undefined) return turns;
  return [{ role: "user", content: `${trim(system.content)}\n\n${first.content}` }, ...rest];
}

/** The white space that `trim` of Jinja templates removes. `String.trim` also removes U+FEFF, and keeps U+001C to U+001F and U+0085. */
const space = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const isSpace = new RegExp(space, "u");

/** `text` without white space at both ends, as in Python. */
export function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace.test(text.charAt(start))) start++;
  while (end > start && isSpace.test(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

/**
 * Ends an answer as the template does: `<end_of_turn>`, line break. Data of a reward model and sampled answers both end by this function, because a
 * reward model must not see another last token than in its training.
 *
 * @param answer ids of an answer, from its first token; tokens after the end of the turn are removed
 * @returns `isEnded` false if the answer was cut off; then the ids are unchanged
 */
export function endAnswer(
  answer: readonly number[],
  tokenizer: ChatTokenizer,
): { readonly ids: readonly number[]; readonly isEnded: boolean } {
  const { endOfTurn, eos } = tokenizer.control;
  const end = answer.findIndex((id) => id === endOfTurn || id === eos);
  if (end < 0) return { ids: answer, isEnded: false };
  return { ids: [...answer.slice(0, end), endOfTurn, ...tokenizer.encode("\n")], isEnded: true };
}
