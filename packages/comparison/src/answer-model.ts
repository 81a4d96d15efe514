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
import { type Judgement, judgementFromLogits, type VerdictTokens } from "@lapidary/evaluation";
import { HfCheckpoint } from "@lapidary/interop";
import { traitsOf } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { decodeAfter, hashOfTokenizer, type TextTokenizer, tokenizerTooLarge, withTurnTokens } from "@lapidary/tokenizer";
import type { Sampling } from "@lapidary/training";
import { type LossSum, type MaskedDocument, readTokenizer, type TokenModel, type TokenPrompt } from "@lapidary/trainer";

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
  /** Ids of the answer, with the token that ended it. */
  readonly ids: readonly number[];
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
  /** The judgement in the token after each question, in the order of the questions. */
  judgements(questions: readonly (readonly number[])[], tokens: VerdictTokens, options: CallOptions): Promise<readonly Judgement[]>;
  loss(documents: readonly Document[], signal: AbortSignal): Promise<LossSum>;
  /** The log-probability of the targets of each document, nats. */
  logProbs(documents: readonly MaskedDocument[], signal: AbortSignal): Promise<readonly number[]>;
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

/** A checkpoint on disk. */
export interface CheckpointPlace {
  readonly directory: string;
  /** The run that wrote the checkpoint; absent for a directory that the user named. */
  readonly run?: string | undefined;
  readonly step?: number | undefined;
}

/** Where a model runs. */
export interface ModelHost {
  /** Tokens of a prompt, and of a prompt with its answer, at most. By default the context of the model decides. */
  readonly limits?: { readonly prompt: number; readonly seq: number } | undefined;
  /** Loads a checkpoint into workers. */
  readonly open: (directory: string) => Promise<TokenWorkers>;
}

/** What a comparison needs of a model on workers. */
export interface TokenWorkers extends Pick<TokenModel, "answers" | "loss" | "logProbs" | "close"> {
  /** @param request the ids of A, B and C, and the number of ids of the tokenizer */
  judgements(
    questions: readonly (readonly number[])[],
    request: CallOptions & { readonly tokens: VerdictTokens; readonly vocabSize: number },
  ): Promise<readonly Judgement[]>;
}

/** A model on a worker group of its own. */
export const ownWorkers = (model: TokenModel): TokenWorkers => ({
  answers: (prompts, options) => model.answers(prompts, options),
  judgements: async (questions, { tokens, vocabSize, ...options }) =>
    (await model.nextLogits(questions, options)).map((logits) => judgementFromLogits(logits.subarray(0, vocabSize), tokens)),
  loss: (documents, signal) => model.loss(documents, signal),
  logProbs: (documents, signal) => model.logProbs(documents, signal),
  close: () => model.close(),
});

/** The model of a checkpoint. It reads the headers of the weights and the tokenizer; `start` reads the weights. */
export async function readAnswerModel(name: string, { directory, run, step }: CheckpointPlace, host: ModelHost): Promise<AnswerModel> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  await checkpoint.close();
  const { config } = checkpoint;
  const { tokenizer, files } = readTokenizer(directory);
  if (tokenizer.vocabSize > config.vocabSize)
    throw tokenizerTooLarge(join(directory, "config.json"), tokenizer.vocabSize, config.vocabSize);
  const context = host.limits?.seq ?? config.contextLength;
  const encoder = encoderOf(tokenizer, host.limits?.prompt ?? context - 1);
  return {
    name,
    directory,
    ...(run === undefined ? {} : { run }),
    ...(step === undefined ? {} : { step }),
    architecture: traitsOf(config).label,
    vocabulary: hashOfTokenizer(files),
    context,
    ...encoder,
    verdictTokens: () => verdictTokensOf(tokenizer, directory),
    start: async () => runningModel(await host.open(directory), tokenizer, encoder.stopTokens),
  };
}

interface Encoder extends Pick<AnswerModel, "form" | "promptIds" | "documents"> {
  /** Ids that end an answer. */
  readonly stopTokens: readonly number[];
}

/** A vocabulary without tokens of turns encodes texts as they are. It refuses dialogues, unless Lapidary can give it such tokens. */
function encoderOf(tokenizer: TextTokenizer, promptTokens: number): Encoder {
  const { pad, stops } = tokenizer.control;
  try {
    return turnEncoder(chatTokenizer(tokenizer), stops, promptTokens);
  } catch (error) {
    if (!(error instanceof LapidaryError) || error.code !== "LAP_EXAMPLE_TURN_TOKENS") throw error;
    const raw = rawEncoder(chatTokenizer(tokenizer, { startOfTurn: pad, endOfTurn: pad }), stops, promptTokens, error);
    // Fine-tuning gives the tokenizer the same tokens, so that a model and its tuned form answer the same dialogues.
    const adapted = withTurnTokens(tokenizer);
    return adapted === undefined ? raw : encoderOfBoth(raw, turnEncoder(chatTokenizer(adapted.tokenizer), stops, promptTokens));
  }
}

const turnEncoder = (turns: ChatTokenizer, stops: readonly number[], promptTokens: number): Encoder => ({
  form: "turns",
  stopTokens: [...new Set([...stops, turns.control.endOfTurn])],
  promptIds: (prompt) => [...encodePrompt(prompt, turns, { seq: promptTokens }).ids],
  documents: (example, seq) => encodeForTuning(example, turns, { seq, overflow: "cut" }),
});

/** @param refusal the error for a dialogue */
function rawEncoder(chat: ChatTokenizer, stopTokens: readonly number[], promptTokens: number, refusal: LapidaryError): Encoder {
  return {
    form: "raw",
    stopTokens,
    promptIds: (prompt) => {
      if (isDialoguePrompt(prompt)) throw refusal;
      return [...encodePrompt(prompt, chat, { seq: promptTokens, texts: "raw" }).ids];
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

const runningModel = (model: TokenWorkers, tokenizer: TextTokenizer, stopTokens: readonly number[]): RunningModel => ({
  answers: async (prompts, sampling, options) => {
    const { vocabSize, suppressedIds: forbiddenTokens } = tokenizer;
    const answers = await model.answers(prompts, { sampling, vocabSize, stopTokens, forbiddenTokens, ...options });
    return answers.map(({ ids, isCutOff, end }, i) => ({
      text: decodeAfter(tokenizer, prompts[i]?.ids ?? [], ids),
      tokens: ids.length,
      isCutOff,
      ids: end === undefined ? ids : [...ids, end],
    }));
  },
  judgements: (questions, tokens, options) => model.judgements(questions, { tokens, vocabSize: tokenizer.vocabSize, ...options }),
  loss: (documents, signal) => model.loss(documents, signal),
  logProbs: (documents, signal) => model.logProbs(documents, signal),
  close: () => model.close(),
});
