import { asTurns, type Example, type Part, type PromptExample } from "./example.js";

/**
 * The prompt of an example that models are evaluated on. The answer of the example becomes the column `answer`, which checkers read, unless the
 * row has this column.
 *
 * @returns undefined for a text, which has no prompt
 */
export function heldOutPrompt(example: Example): PromptExample | undefined {
  switch (example.kind) {
    case "prompt":
      return example;
    case "completion":
      return withAnswer(example, example.prompt, example.completion);
    case "preference":
      return withAnswer(example, example.prompt, undefined);
    case "chat":
      // A dialogue ends with an answer of the model.
      return withAnswer(example, example.turns.slice(0, -1), example.turns.slice(-1));
    case "text":
      return undefined;
  }
}

/** The text that a person sees last before the answer: the prompt, or its last turn. */
export const lastText = (prompt: Part): string => asTurns(prompt, "user").at(-1)?.content ?? "";

function withAnswer({ file, row, subset, columns }: Example, prompt: Part, answer: Part | undefined): PromptExample {
  const common = { kind: "prompt", file, row, ...(subset === undefined ? {} : { subset }), prompt } as const;
  if (answer === undefined || Object.hasOwn(columns, "answer")) return { ...common, columns };
  return { ...common, columns: { ...columns, answer: lastText(answer) } };
}
