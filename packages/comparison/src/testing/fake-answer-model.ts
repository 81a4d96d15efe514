import type { Document, Example, PromptExample } from "@lapidary/data";
import { judgementFromLogits } from "@lapidary/evaluation";
import { LapidaryError } from "@lapidary/std";
import type { AnswerModel, RunningModel } from "../answer-model.js";

/** A model without weights. */
export interface FakeModelOptions {
  readonly name: string;
  /** The answer to a prompt, which a seed may change. */
  readonly answer?: (prompt: string, seed: number) => string;
  /** The logits of A, B and C after a question. */
  readonly judge?: (question: string) => readonly [number, number, number];
  /** Nats of each target. */
  readonly nats?: number;
  /** Characters. */
  readonly context?: number;
  readonly vocabulary?: string;
}

export interface FakeModel extends AnswerModel {
  /** What the model was asked to do, in order. */
  readonly calls: string[];
}

const codesOf = (text: string): readonly number[] => Array.from(text, (character) => character.charCodeAt(0));
const textOf = (ids: readonly number[]): string => String.fromCharCode(...ids);

/** Ids are character codes. */
export function fakeAnswerModel(options: FakeModelOptions): FakeModel {
  const { name, context = 1000, vocabulary = "characters", nats = 1 } = options;
  const calls: string[] = [];
  const fitted = (text: string): readonly number[] => {
    if (text.length < context) return codesOf(text);
    throw new LapidaryError({ code: "LAP_EXAMPLE_TOO_LONG", message: `the prompt has ${text.length} tokens`, remedy: "shorten it" });
  };
  return {
    name,
    directory: `/models/${name}`,
    architecture: "Gemma",
    vocabulary,
    form: "turns",
    context,
    calls,
    promptIds: ({ prompt }: PromptExample) => fitted(typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("|")),
    documents: (example: Example): readonly Document[] => {
      const text = example.kind === "text" ? example.text : example.kind === "completion" ? String(example.completion) : "answer";
      const ids = Int32Array.from([2, ...codesOf(text)]);
      return [{ file: example.file, row: example.row, ids, mask: Uint8Array.from(ids, (_, i) => (i === 0 ? 0 : 1)) }];
    },
    verdictTokens: () => ({ A: 65, B: 66, C: 67 }),
    start: async (): Promise<RunningModel> => {
      calls.push("start");
      return {
        answers: async (prompts, _, { onAnswered }) => {
          calls.push("answers");
          return prompts.map(({ ids, seed, maxTokens }, i) => {
            onAnswered(i + 1);
            const text = options.answer?.(textOf(ids), seed) ?? "";
            const own = text.slice(0, maxTokens);
            return { text: own, tokens: own.length, isCutOff: text.length >= maxTokens, ids: codesOf(own) };
          });
        },
        judgements: async (questions, tokens) => {
          calls.push("judge");
          return questions.map((ids) =>
            judgementFromLogits(
              Float32Array.from({ length: 128 }, (_, id) => options.judge?.(textOf(ids))[id - 65] ?? -20),
              tokens,
            ),
          );
        },
        logProbs: async (documents) => documents.map(({ mask }) => -nats * Array.from(mask).reduce((sum, each) => sum + each, 0)),
        loss: async (documents) => {
          const tokens = documents.reduce((sum, { mask }) => sum + mask.reduce((a, b) => a + b, 0), 0);
          return { sum: nats * tokens, tokens };
        },
        close: async () => {
          calls.push("close");
        },
      };
    },
  };
}
