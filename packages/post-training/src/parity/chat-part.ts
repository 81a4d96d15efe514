import { byteTokenizerOf, type ChatTokenizer, renderDialogue, templateTurns } from "@lapidary/data";
import { LapidaryError } from "@lapidary/std";
import type { PostBundle } from "./bundle.js";
import { PartChecks, type PostCheck } from "./checks.js";
import type { ChatResults } from "./manifest.js";

type Messages = ChatResults["refused"][number];

/** The chat template: texts, ids and masks of dialogues, and the dialogues that it refuses. It needs no program. */
export function checkChat({ manifest, chat }: PostBundle): Promise<PostCheck[]> {
  const checks = new PartChecks("chat", manifest);
  const { pad, eos, bos, unk, first_byte: firstByte, start_of_turn: startOfTurn, end_of_turn: endOfTurn } = manifest.tokens;
  const tokenizer = byteTokenizerOf({ pad, eos, bos, unk, firstByte, startOfTurn, endOfTurn });
  const pairs = chat.cases.map((expected) => ({
    expected,
    rendered: renderedOf(expected.messages, tokenizer, expected.add_generation_prompt === true),
  }));
  for (const value of ["ids", "mask"] as const)
    checks.allEqual(
      `${value} of dialogues`,
      pairs.map(({ expected, rendered }) => [rendered[value], expected[value]]),
    );
  checks.allEqual(
    "characters of dialogues",
    pairs.map(({ expected, rendered }) => [codesOf(rendered.text), codesOf(expected.text)]),
  );
  const accepted = chat.refused.filter((messages) => refusal(messages) === undefined);
  checks.exact("refused dialogues", chat.refused.length - accepted.length, chat.refused.length);
  const { text, ids } = renderDialogue([{ role: "user", content: promptOf(chat) }], gemmaVocabulary, { generationPrompt: true });
  checks.equal("ids in Gemma's vocabulary", ids, chat.gemma_vocabulary.ids);
  checks.equal("characters in Gemma's vocabulary", codesOf(text), codesOf(chat.gemma_vocabulary.text));
  return Promise.resolve(checks.list);
}

const codesOf = (text: string): readonly number[] => Array.from(text, (character) => character.codePointAt(0) ?? 0);

interface Rendered {
  readonly text: string;
  readonly ids: readonly number[];
  readonly mask: readonly number[];
}

/** The rendered dialogue; nothing if the template refuses it, so that every token differs. */
function renderedOf(messages: Messages, tokenizer: ChatTokenizer, generationPrompt: boolean): Rendered {
  if (refusal(messages) !== undefined) return { text: "", ids: [], mask: [] };
  return renderDialogue(templateTurns(messages), tokenizer, { generationPrompt });
}

function refusal(messages: Messages): LapidaryError | undefined {
  try {
    templateTurns(messages);
    return undefined;
  } catch (error) {
    if (error instanceof LapidaryError) return error;
    throw error;
  }
}

/** The user's text of the prompt in Gemma's vocabulary. */
const promptOf = ({ gemma_vocabulary: { text } }: ChatResults): string =>
  /^<bos><start_of_turn>user\n([^]*)<end_of_turn>\n<start_of_turn>model\n$/.exec(text)?.[1] ?? "";

/** The pieces of Gemma's vocabulary that the prompts of the bundles need. The id 3 is `<unk>`. */
const gemmaPieces = new Map([
  ["user", 1645],
  ["model", 2516],
  ["\n", 108],
  ["Hi", 2151],
]);
const gemmaVocabulary: ChatTokenizer = {
  vocabSize: 256_000,
  control: { bos: 2, eos: 1, startOfTurn: 106, endOfTurn: 107 },
  encode: (text) => (text.match(/\n|[^\n]+/g) ?? []).map((piece) => gemmaPieces.get(piece) ?? 3),
  piece: String,
};
