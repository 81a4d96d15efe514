import { join } from "node:path";
import {
  type ChatTokenizer,
  chatTokenizer,
  type Document,
  encodeForTuning,
  encodePrompt,
  type Example,
  type PromptExample,
} from "@lapidary/data";
import type { VerdictTokens } from "@lapidary/evaluation";
import { HfCheckpoint } from "@lapidary/interop";
import { isDecoder } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { decodeAfter, hashOfTokenizer, type TextTokenizer, tokenizerTooLarge, withTurnTokens } from "@lapidary/tokenizer";
import type { Sampling } from "@lapidary/training";
import { type LossSum, openTokenModel, readTokenizer, type SessionOptions, type TokenModel, type TokenPrompt } from "@lapidary/trainer";
import type { CheckpointLocation } from "../checkpoints/resolve-checkpoint.js";

/** How prompts become tokens: as turns of the chat template, or as they are, for a vocabulary without tokens of turns. */
type PromptForm = "turns" | "raw";

/** What is known of a model before its workers start. A report has these fields. */
export interface ModelIdentity {
  /** As the user named it. */
  readonly name: string;
  readonly directory: string;
  readonly run?: string | undefined;
  readonly step?: number | undefined;
  readonly architecture: string;
  /** SHA-256 of the files of the tokenizer. */
  readonly vocabulary: string;
  readonly form: PromptForm;
  /** Tokens that the model reads at once. */
  readonly context: number;
}

export interface ModelAnswer {
  readonly text: string;
  readonly tokens: number;
  /** Whether the answer reached the maximum number of tokens. */
  readonly isCutOff: boolean;
}

/** The progress of a call, and its end before its time. */
export interface CallOptions {
  readonly signal: AbortSignal;
  readonly onAnswered: (complete: number) => void;
}

/** A model with workers. */
export interface RunningModel {
  /** One answer to each prompt, in the order of the prompts. */
  answers(prompts: readonly TokenPrompt[], sampling: Sampling, options: CallOptions): Promise<readonly ModelAnswer[]>;
  /** Logits [V] of the token after each prompt, in the order of the prompts. */
  nextLogits(prompts: readonly (readonly number[])[], options: CallOptions): Promise<readonly Float32Array[]>;
  loss(documents: readonly Document[], signal: AbortSignal): Promise<LossSum>;
  close(): Promise<void>;
}

/** A model that answers prompts or judges answers. */
export interface AnswerModel extends ModelIdentity {
  /** @throws LapidaryError `LAP_EXAMPLE_…` if the prompt cannot be encoded, or leaves no token of the context for an answer */
  promptIds(prompt: PromptExample): readonly number[];
  /**
   * The documents of an example whose loss is measured. The end of an example with more than `seq` tokens is cut off.
   *
   * @throws LapidaryError `LAP_EXAMPLE_…`
   */
  documents(example: Example, seq: number): readonly Document[];
  /** @throws LapidaryError LAP_JUDGE_TOKENS */
  verdictTokens(): VerdictTokens;
  start(): Promise<RunningModel>;
}

/** The pool lets the models of a comparison use one worker process after each other. */
export type WorkerOptions = Pick<SessionOptions, "environment" | "log" | "pool">;

/** The model of a checkpoint. It reads the headers of the weights and the tokenizer; `start` reads the weights. */
export async function readAnswerModel(
  name: string,
  { directory, run, step }: CheckpointLocation,
  workers: WorkerOptions,
): Promise<AnswerModel> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  await checkpoint.close();
  const { config } = checkpoint;
  const { tokenizer, files } = readTokenizer(directory);
  if (tokenizer.vocabSize > config.vocabSize)
    throw tokenizerTooLarge(join(directory, "config.json"), tokenizer.vocabSize, config.vocabSize);
  const context = config.contextLength;
  const encoder = encoderOf(tokenizer, context);
  return {
    name,
    directory,
    ...(run === undefined ? {} : { run }),
    ...(step === undefined ? {} : { step }),
    architecture: isDecoder(config) ? "Decoder" : "Gemma",
    vocabulary: hashOfTokenizer(files),
    context,
    ...encoder,
    verdictTokens: () => verdictTokensOf(tokenizer, directory),
    start: async () => runningModel(await openTokenModel({ checkpoint: directory, ...workers }), tokenizer, encoder.stopTokens),
  };
}

interface Encoder extends Pick<AnswerModel, "form" | "promptIds" | "documents"> {
  /** Ids that end an answer. */
  readonly stopTokens: readonly number[];
}

/** A vocabulary without tokens of turns encodes texts as they are. It refuses dialogues, unless Lapidary can give it such tokens. */
function encoderOf(tokenizer: TextTokenizer, context: number): Encoder {
  const { pad, stops } = tokenizer.control;
  try {
    return turnEncoder(chatTokenizer(tokenizer), stops, context);
  } catch (error) {
    if (!(error instanceof LapidaryError) || error.code !== "LAP_EXAMPLE_TURN_TOKENS") throw error;
    const raw = rawEncoder(chatTokenizer(tokenizer, { startOfTurn: pad, endOfTurn: pad }), stops, context, error);
    // Fine-tuning gives the tokenizer the same tokens, so that a model and its tuned form answer the same dialogues.
    const adapted = withTurnTokens(tokenizer);
    return adapted === undefined ? raw : encoderOfBoth(raw, turnEncoder(chatTokenizer(adapted.tokenizer), stops, context));
  }
}

const turnEncoder = (turns: ChatTokenizer, stops: readonly number[], context: number): Encoder => ({
  form: "turns",
  stopTokens: [...new Set([...stops, turns.control.endOfTurn])],
  promptIds: (prompt) => [...encodePrompt(prompt, turns, { seq: context - 1 }).ids],
  documents: (example, seq) => encodeForTuning(example, turns, { seq, overflow: "cut" }),
});

/** @param refusal the error for a dialogue */
function rawEncoder(chat: ChatTokenizer, stopTokens: readonly number[], context: number, refusal: LapidaryError): Encoder {
  return {
    form: "raw",
    stopTokens,
    promptIds: (prompt) => {
      if (isDialoguePrompt(prompt)) throw refusal;
      return [...encodePrompt(prompt, chat, { seq: context - 1, texts: "raw" }).ids];
    },
    documents: (example, seq) => {
      if (isDialogue(example)) throw refusal;
      return encodeForTuning(example, chat, { seq, overflow: "cut", texts: "raw" });
    },
  };
}

/** Texts by one encoder, dialogues by the other. */
const encoderOfBoth = (texts: Encoder, dialogues: Encoder): Encoder => ({
  form: texts.form,
  stopTokens: dialogues.stopTokens,
  promptIds: (prompt) => (isDialoguePrompt(prompt) ? dialogues : texts).promptIds(prompt),
  documents: (example, seq) => (isDialogue(example) ? dialogues : texts).documents(example, seq),
});

const isDialoguePrompt = ({ prompt }: PromptExample): boolean => typeof prompt !== "string";

const isDialogue = (example: Example): boolean =>
  example.kind === "chat" ||
  (example.kind === "completion" && (typeof example.prompt !== "string" || typeof example.completion !== "string"));

function verdictTokensOf(tokenizer: TextTokenizer, directory: string): VerdictTokens {
  const idOf = (letter: string): number => {
    const ids = tokenizer.encode(letter);
    const [id] = ids;
    if (id !== undefined && ids.length === 1 && tokenizer.decode(ids) === letter) return id;
    throw new LapidaryError({
      code: "LAP_JUDGE_TOKENS",
      message: `the tokenizer of the judge encodes ${letter} as ${ids.length} tokens, expected one`,
      location: directory,
    });
  };
  return { A: idOf("A"), B: idOf("B"), C: idOf("C") };
}

const runningModel = (model: TokenModel, tokenizer: TextTokenizer, stopTokens: readonly number[]): RunningModel => ({
  answers: async (prompts, sampling, options) => {
    const { vocabSize, suppressedIds: forbiddenTokens } = tokenizer;
    const answers = await model.answers(prompts, { sampling, vocabSize, stopTokens, forbiddenTokens, ...options });
    return answers.map(({ ids, isCutOff }, i) => ({
      text: decodeAfter(tokenizer, prompts[i]?.ids ?? [], ids),
      tokens: ids.length,
      isCutOff,
    }));
  },
  nextLogits: async (prompts, options) =>
    (await model.nextLogits(prompts, options)).map((logits) => logits.subarray(0, tokenizer.vocabSize)),
  loss: (documents, signal) => model.loss(documents, signal),
  close: () => model.close(),
});
