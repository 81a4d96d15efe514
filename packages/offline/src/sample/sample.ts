import { HfCheckpoint } from "@lapidary/interop";
import { raceAbort, type Warning } from "@lapidary/std";
import { cutPromptWarning, openSampler, readTokenizer } from "@lapidary/trainer";
import type { Reporter } from "../reporter.js";

export interface SampleRequest {
  /** Directory of a checkpoint, of a run or of Hugging Face. */
  readonly checkpoint: string;
  readonly prompt: string;
  /** Maximum number of tokens to generate. */
  readonly tokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
}

export interface GeneratedText {
  readonly text: string;
  readonly promptTokens: number;
  /** Tokens of the prompt that fit the context. */
  readonly promptTokensSeen: number;
  /** Tokens that the model sees in one pass: the context length of its config. */
  readonly context: number;
  readonly warnings: readonly Warning[];
}

/** Generates text from a checkpoint on a worker process of its own. */
export async function generateText(
  { checkpoint, prompt, tokens, temperature, topP, seed }: SampleRequest,
  { env, signal }: { readonly env: NodeJS.ProcessEnv; readonly signal: AbortSignal },
  reporter: Reporter,
): Promise<GeneratedText> {
  // Checked before the tokenizer, because a directory without weights has no tokenizer either.
  const found = await headerWarnings(checkpoint);
  found.forEach(reporter.warn);
  const { tokenizer } = readTokenizer(checkpoint);
  const promptTokens = tokenizer.encode(prompt).length;
  reporter.progress("load the checkpoint");
  const sampler = await openSampler({
    checkpoint,
    tokenizer,
    // The context is as short as possible, because every token costs a pass over all of it.
    context: 1 + promptTokens + tokens,
    environment: env,
    log: (worker, line) => reporter.detail(`${worker}: ${line}`),
  });
  try {
    let written = "";
    const generating = sampler.generate({
      prompt,
      tokens,
      sampling: { temperature, top_p: topP },
      seed,
      signal,
      onText: (part) => {
        written += part;
        reporter.progress("write", () => written.replaceAll("\n", " ").slice(-60));
      },
    });
    const generated = await raceAbort(generating, signal);
    const warning = cutPromptWarning(generated, sampler.context, "prompt");
    if (warning !== undefined) reporter.warn(warning);
    return {
      text: generated.text,
      promptTokens: generated.promptTokens,
      promptTokensSeen: generated.promptTokensSeen,
      context: sampler.config.contextLength,
      warnings: [...found, ...(warning === undefined ? [] : [warning])],
    };
  } finally {
    await sampler.close();
  }
}

async function headerWarnings(directory: string): Promise<readonly Warning[]> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  await checkpoint.close();
  return checkpoint.warnings;
}
