import { readFileSync } from "node:fs";
import type { Turn } from "../example.js";
import { readMessages } from "../turns.js";

interface ChatGolden {
  readonly cases: readonly {
    readonly messages: readonly unknown[];
    readonly add_generation_prompt?: true;
    readonly text: string;
    readonly ids: readonly number[];
    readonly mask: readonly number[];
  }[];
  readonly refused: readonly (readonly unknown[])[];
  readonly gemma_vocabulary: { readonly text: string; readonly ids: readonly number[] };
}

interface RowsGolden {
  readonly sft: Readonly<
    Record<"input_ids" | "labels" | "packed_input_ids" | "packed_segment_ids" | "packed_labels", readonly number[][]>
  > & {
    readonly messages: readonly (readonly unknown[])[];
  };
  readonly preference: {
    readonly chosen: readonly (readonly unknown[])[];
    readonly rejected: readonly (readonly unknown[])[];
    readonly input_ids: readonly number[][];
    readonly completion_mask: readonly number[][];
    readonly last: readonly number[];
  };
  readonly prompts: {
    readonly messages: readonly (readonly unknown[])[];
    readonly prompt_ids: readonly number[][];
    readonly prompt_mask: readonly number[][];
  };
}

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../../golden/post/${name}`, import.meta.url), "utf8"));

/** The template of transformers on the dialogues of a bundle. */
export const chatGolden = (bundle: "pod16x16" | "mqa"): ChatGolden => read(`chat-${bundle}.json`) as ChatGolden;

/** The batches that the trainers of TRL made of the examples of a bundle. */
export const rowsGolden = (): RowsGolden => read("rows-pod16x16.json") as RowsGolden;

/** The turns of messages of a golden. Some have an empty text, which a reader refuses. */
export function turnsOf(messages: readonly unknown[]): readonly Turn[] {
  return messages.map((message) => {
    const { content } = message as { readonly content: string };
    const [turn] = readMessages([{ ...(message as object), content: "x" }], "messages");
    if (turn === undefined) throw new Error("a message gives one turn");
    return { ...turn, content };
  });
}
