import { cutPromptWarning, openSampler, readTokenizer } from "@lapidary/trainer";
import { HfCheckpoint } from "@lapidary/interop";
import { ExitCode, type Warning } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { sampleText } from "../report/sample-text.js";
import { orInterrupted } from "../terminal/interrupts.js";
import { findCheckpoint } from "./checkpoint-place.js";

export interface SampleCommandOptions {
  readonly from: string;
  readonly prompt: string;
  readonly tokens: number | undefined;
  readonly temperature: number | undefined;
  readonly topP: number | undefined;
  readonly seed: number | undefined;
}

/** Generates text from a checkpoint on a worker of its own. */
export async function sample(context: Context, options: SampleCommandOptions): Promise<ExitCode> {
  const { console, env, interrupts } = context;
  const { from, prompt, tokens = 64, temperature = 0.8, topP = 0.95, seed = 0 } = options;
  checkSampling(tokens, temperature, topP);
  const place = await findCheckpoint(context, from);
  // Before the tokenizer, because a directory without weights has none either.
  const found = await checkHeaders(place.directory);
  for (const warning of found) console.warn(warning);
  const { tokenizer } = readTokenizer(place.directory);
  const promptTokens = tokenizer.encode(prompt).length;
  const progress = console.progress();
  progress.update("load the checkpoint");
  // Of a row no more than is needed: every token costs a pass over all of it.
  const opening = openSampler({
    checkpoint: place.directory,
    tokenizer,
    context: 1 + promptTokens + tokens,
    environment: env,
    log: (worker, line) => console.detail(`${worker}: ${line}`),
  });
  const sampler = await opening;
  try {
    let written = "";
    const generating = sampler.generate({
      prompt,
      tokens,
      sampling: { temperature, top_p: topP },
      seed,
      signal: interrupts.signal,
      onText: (part) => {
        written += part;
        progress.update("write", () => written.replaceAll("\n", " ").slice(-60));
      },
    });
    const generated = await orInterrupted(generating, interrupts.signal);
    progress.end();
    const warning = cutPromptWarning(generated, sampler.context, "prompt");
    if (warning !== undefined) console.warn(warning);
    const warnings = [...found, ...(warning === undefined ? [] : [warning])];
    const { text } = generated;
    console.result(
      {
        prompt,
        prompt_tokens: generated.promptTokens,
        prompt_tokens_seen: generated.promptTokensSeen,
        context: sampler.config.contextLength,
        text,
        checkpoint: place.directory,
        run: place.run ?? null,
        step: place.step ?? null,
        warnings,
      },
      () => sampleText({ prompt, text }, console.columns, console.paint),
    );
    return ExitCode.done;
  } finally {
    progress.end();
    await sampler.close();
  }
}

async function checkHeaders(directory: string): Promise<readonly Warning[]> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  await checkpoint.close();
  return checkpoint.warnings;
}

function checkSampling(tokens: number, temperature: number, topP: number): void {
  const most = 100_000;
  if (tokens < 1 || tokens > most) throw argumentError(`${tokens} is no number of tokens to generate`, "--tokens", `give 1 to ${most}`);
  if (temperature > 100) throw argumentError(`a temperature of ${temperature} is too high`, "--temperature", "give 0 to 100; 0.8 is usual");
  if (topP <= 0 || topP > 1) throw argumentError(`${topP} is no probability to keep`, "--top-p", "give a number above 0 and at most 1");
}
