import type { ErrorCode, JsonValue, LapidaryError, UnknownErrorCode } from "@lapidary/std";

/** One turn of a dialogue. A system turn comes first or not at all. */
export interface Turn {
  readonly role: "system" | "user" | "model";
  readonly content: string;
}

/** A part of an example: a text as it is, or turns for the chat template. */
export type Part = string | readonly Turn[];

/** Where an example is from. */
export interface RowSource {
  readonly file: string;
  /** Line of the file, or element of its array, from 1. */
  readonly row: number;
}

interface Common extends RowSource {
  /** The tag of a group of examples, such as `refusal`: for shares of a mixture and for evaluation. */
  readonly subset?: string | undefined;
  /** The values of the row that its format does not use: for checkers and filters. */
  readonly columns: Readonly<Record<string, JsonValue>>;
}

/** A dialogue. All turns of the model are trained. */
interface ChatExample extends Common {
  readonly kind: "chat";
  readonly turns: readonly Turn[];
}

/** A prompt and its answer. Only the answer is trained. */
interface CompletionExample extends Common {
  readonly kind: "completion";
  readonly prompt: Part;
  readonly completion: Part;
}

/** Two answers to one prompt. */
interface PreferenceExample extends Common {
  readonly kind: "preference";
  readonly prompt: Part;
  readonly chosen: Part;
  readonly rejected: Part;
  /** The least difference of the two rewards. */
  readonly margin?: number | undefined;
}

/** A prompt that the policy answers during training. */
export interface PromptExample extends Common {
  readonly kind: "prompt";
  readonly prompt: Part;
}

/** A text for language modelling. All tokens are trained. */
interface TextExample extends Common {
  readonly kind: "text";
  readonly text: string;
}

export type Example = ChatExample | CompletionExample | PreferenceExample | PromptExample | TextExample;

/** A row that is not used, with the reason. */
export interface RefusedRow extends RowSource {
  readonly code: ErrorCode | UnknownErrorCode;
  /** One sentence. */
  readonly reason: string;
  readonly remedy: string;
}

export function refusedRow({ file, row }: RowSource, { code, message, remedy }: LapidaryError): RefusedRow {
  return { file, row, code, reason: message, remedy };
}

/** The texts of an example with the role of their author, in order. A text without turns has the role of its place. */
export function textsOf(example: Example): readonly Turn[] {
  switch (example.kind) {
    case "chat":
      return example.turns;
    case "completion":
      return [...asTurns(example.prompt, "user"), ...asTurns(example.completion, "model")];
    case "preference":
      return [...asTurns(example.prompt, "user"), ...asTurns(example.chosen, "model"), ...asTurns(example.rejected, "model")];
    case "prompt":
      return asTurns(example.prompt, "user");
    case "text":
      return [{ role: "model", content: example.text }];
  }
}

/** The texts that training makes more likely, in the order of `textsOf`. A rejected answer may be harmful or wrong, because it is the bad example. */
export const desiredTexts = (example: Example): readonly Turn[] =>
  example.kind === "preference" ? [...asTurns(example.prompt, "user"), ...asTurns(example.chosen, "model")] : textsOf(example);

/** The turns of a part. A text becomes one turn of the given role. */
export const asTurns = (part: Part, role: Turn["role"]): readonly Turn[] => (typeof part === "string" ? [{ role, content: part }] : part);
