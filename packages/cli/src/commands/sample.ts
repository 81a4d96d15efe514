import { resolveCheckpoint } from "@lapidary/offline/checkpoints";
import { generateText } from "@lapidary/offline/sample";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { sampleText } from "../report/sample-text.js";
import { consoleReporter } from "../terminal/console-reporter.js";

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
  const { directory, run = null, step = null } = await resolveCheckpoint(context, from);
  const reporter = consoleReporter(console);
  const request = { checkpoint: directory, prompt, tokens, temperature, topP, seed };
  const generated = await generateText(request, { env, signal: interrupts.signal }, reporter).finally(reporter.end);
  const { text, warnings } = generated;
  console.result(
    {
      prompt,
      prompt_tokens: generated.promptTokens,
      prompt_tokens_seen: generated.promptTokensSeen,
      context: generated.context,
      text,
      checkpoint: directory,
      run,
      step,
      warnings,
    },
    () => sampleText({ prompt, text }, console.columns, console.paint),
  );
  return ExitCode.done;
}

function checkSampling(tokens: number, temperature: number, topP: number): void {
  const maxTokens = 100_000;
  if (tokens < 1 || tokens > maxTokens) throw argumentError(`invalid number of tokens: ${tokens}`, "--tokens", `give 1 to ${maxTokens}`);
  if (temperature > 100) throw argumentError(`invalid temperature: ${temperature}`, "--temperature", "give 0 to 100; the default is 0.8");
  if (topP <= 0 || topP > 1) throw argumentError(`invalid probability: ${topP}`, "--top-p", "give a number above 0 and at most 1");
}
