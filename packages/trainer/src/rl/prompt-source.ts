import { type ChatTokenizer, encodeExamples, encodePrompt, type Example, mixtureOf, mixtureSources, TrainingOrder } from "@lapidary/data";
import { ensure } from "@lapidary/std";
import type { RlPrompt } from "./rl-settings.js";

/** The prompts of a file, and their share of the mixture. */
export interface PromptFile {
  readonly name: string;
  readonly examples: readonly Example[];
  readonly share?: number | undefined;
  readonly subsets?: Readonly<Record<string, number>> | undefined;
}

interface PromptSourceOptions {
  readonly tokenizer: ChatTokenizer;
  readonly seed: number;
  /** Prompts of a step. */
  readonly prompts: number;
  /** Tokens of a prompt at most. */
  readonly promptTokens: number;
}

/** Prompts by step, and the rows that cannot be prompts. */
export interface PromptSource {
  readonly refused: ReturnType<typeof encodeExamples>["refused"];
  /** A function of (seed, step). */
  readonly promptsOf: (step: number) => readonly RlPrompt[];
}

/** @throws LapidaryError `LAP_EXAMPLE_MIXTURE` also if a file has no prompt */
export function promptSource(files: readonly PromptFile[], { tokenizer, seed, prompts, promptTokens }: PromptSourceOptions): PromptSource {
  const encode = (example: Example): RlPrompt & { readonly subset: string | undefined } => {
    const { ids, columns, subset } = encodePrompt(example, tokenizer, { seq: promptTokens });
    return { ids, columns, subset, text: questionOf(example) };
  };
  const encoded = files.map(({ examples, ...file }) => ({ ...file, ...encodeExamples(examples, encode) }));
  const sources = mixtureSources(encoded.map(({ encoded: items, ...file }) => ({ ...file, items })));
  const order = new TrainingOrder({ mixture: mixtureOf(sources), seed });
  return {
    refused: encoded.flatMap(({ refused }) => refused),
    promptsOf: (step) =>
      order.rows(step, prompts).map(([item]) => {
        const { source, index } = ensure(item, "prompt");
        return ensure(sources[source]?.items[index], "prompt");
      }),
  };
}

/** What a checker reads as the prompt: the text, or the last turn. */
function questionOf(example: Example): string {
  if (example.kind !== "prompt") return "";
  const { prompt } = example;
  return typeof prompt === "string" ? prompt : (prompt.at(-1)?.content ?? "");
}
