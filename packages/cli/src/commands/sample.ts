import { cutPromptWarning, openSampler, readTokenizer } from "@lapidary/trainer";
import { HfCheckpoint } from "@lapidary/interop";
import { ExitCode, type Warning } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { sampleText } from "../report/sample-text.js";
import { orInterrupted } from "../terminal/interrupts.js";
import { resolveCheckpoint } from "./resolve-checkpoint.js";

export interface SampleCommandOptions {
  readonly from: string;
  readonly prompt: string;
  readonly tokens: number | undefined;
  readonly temperature: number | undefined;
  readonly topP: number | undefined;
  readonly seed: number | undefined;
}

/** Generates text from a checkpoint on a separate worker. */
export async function sample(context: Context, options: SampleCommandOptions): Promise<ExitCode> {
  const { console, env, interrupts } = context;
  const { from, prompt, tokens = 64, temperature = 0.8, topP = 0.95, seed = 0 } = options;
  checkSampling(tokens, temperature, topP);
  const location = await resolveCheckpoint(context, from);
  // Checked before the tokenizer, because a directory without weights has no tokenizer either.
  const found = await checkHeaders(location.directory);
  for (const warning of found) console.warn(warning);
  const { tokenizer } = readTokenizer(location.directory);
  const promptTokens = tokenizer.encode(prompt).length;
  const progress = console.progress();
  progress.update("load the checkpoint");
  // The context is as short as possible, because every token costs a pass over all of it.
  const opening = openSampler({
    checkpoint: location.directory,
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
        checkpoint: location.directory,
        run: location.run ?? null,
        step: location.step ?? null,
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
  const maxTokens = 100_000;
  if (tokens < 1 || tokens > maxTokens) throw argumentError(`invalid number of tokens: ${tokens}`, "--tokens", `give 1 to ${maxTokens}`);
  if (temperature > 100) throw argumentError(`invalid temperature: ${temperature}`, "--temperature", "give 0 to 100; the default is 0.8");
  if (topP <= 0 || topP > 1) throw argumentError(`invalid probability: ${topP}`, "--top-p", "give a number above 0 and at most 1");
}
