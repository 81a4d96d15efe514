import { HfCheckpoint } from "@lapidary/interop";
import { type Clock, ensure, raceAbort, type Warning } from "@lapidary/std";
import type { TextTokenizer } from "@lapidary/tokenizer";
import {
  cutPromptWarning,
  defaultBatchRows,
  type GeneratedSample,
  openSampler,
  promptIds,
  promptReading,
  readTokenizer,
} from "@lapidary/trainer";
import { type Chat, chatOf } from "../generation/chat.js";
import type { Reporter } from "../reporter.js";

export interface SampleRequest {
  /** Directory of a checkpoint, of a run or of Hugging Face. */
  readonly checkpoint: string;
  readonly prompts: readonly string[];
  /** Texts for each prompt. */
  readonly n: number;
  /** Whether a prompt is a message of a user, in the chat template, or a text to continue. */
  readonly chat: boolean;
  /** Maximum number of tokens to generate for each text. */
  readonly tokens: number;
  readonly temperature: number;
  readonly topP: number;
  /** Undefined: all tokens. */
  readonly topK: number | undefined;
  /** The seed of the first text. Each further text has the next seed. */
  readonly seed: number;
}

interface GeneratedText extends GeneratedSample {
  readonly prompt: string;
  readonly seed: number;
}

export interface GeneratedTexts {
  /** The texts of the first prompt, then those of the next one. */
  readonly texts: readonly GeneratedText[];
  /** Tokens that the model sees in one pass: the context length of its config. */
  readonly context: number;
  /** Time from the first token to the last, of all texts. */
  readonly generate_ms: number;
  readonly warnings: readonly Warning[];
}

interface SampleEnvironment {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called with each new part of the text number `index`. */
  readonly onText?: ((text: string, index: number) => void) | undefined;
}

/** Generates texts from a checkpoint on a worker process of its own. */
export async function generateTexts(request: SampleRequest, environment: SampleEnvironment, reporter: Reporter): Promise<GeneratedTexts> {
  const { checkpoint, prompts, n, tokens, temperature, topP, topK, seed } = request;
  const { env, clock, signal, onText } = environment;
  // Checked before the tokenizer, because a directory without weights has no tokenizer either.
  const found = await headerWarnings(checkpoint);
  found.forEach(reporter.warn);
  const { tokenizer } = readTokenizer(checkpoint);
  const chat = request.chat ? chatOf(tokenizer) : undefined;
  const rows = prompts.flatMap((prompt) => Array.from({ length: n }, () => prompt));
  const ids = rows.map((prompt) => encode(tokenizer, chat, prompt));
  const longest = Math.max(...ids.map(({ length }) => length));
  reporter.progress("load the checkpoint");
  const sampler = await openSampler({
    checkpoint,
    tokenizer,
    context: longest + tokens,
    first: { rows: Math.min(rows.length, defaultBatchRows), promptTokens: longest },
    environment: env,
    signal,
    log: (worker, line) => reporter.detail(`${worker}: ${line}`),
  });
  try {
    const cut = prompts.flatMap((_, p) => {
      const reading = promptReading(tokenizer, ensure(ids[p * n], "prompt"), sampler.context);
      return cutPromptWarning(reading, sampler.context, prompts.length === 1 ? "prompt" : `prompt ${p + 1}`) ?? [];
    });
    cut.forEach(reporter.warn);
    let written = "";
    const started_ms = clock.monotonic();
    const generating = sampler.generateMany({
      prompts: rows.map((prompt, row) => (chat === undefined ? prompt : ensure(ids[row], "prompt"))),
      tokens,
      sampling: { temperature, top_p: topP, ...(topK === undefined ? {} : { top_k: topK }) },
      seed,
      stopTokens: chat?.stopTokens(ensure(ids[0], "prompt")),
      signal,
      onText: (part, row) => {
        if (row === 0) written += part;
        onText?.(part, row);
        if (onText === undefined) reporter.progress("write", () => written.replaceAll("\n", " ").slice(-60));
      },
    });
    const samples = await raceAbort(generating, signal);
    const generate_ms = clock.monotonic() - started_ms;
    return {
      texts: samples.map((sample, row) => ({ ...sample, prompt: ensure(rows[row], "prompt"), seed: seed + row })),
      context: sampler.config.contextLength,
      generate_ms,
      warnings: [...found, ...cut],
    };
  } finally {
    await sampler.close();
  }
}

function encode(tokenizer: TextTokenizer, chat: Chat | undefined, prompt: string): readonly number[] {
  return chat === undefined ? promptIds(tokenizer, prompt) : chat.encode([{ role: "user", content: prompt }], "prompt");
}

async function headerWarnings(directory: string): Promise<readonly Warning[]> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  await checkpoint.close();
  return checkpoint.warnings;
}
