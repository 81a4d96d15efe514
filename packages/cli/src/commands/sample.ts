import { resolveCheckpoint } from "@lapidary/offline/checkpoints";
import { type GeneratedTexts, generateTexts } from "@lapidary/offline/sample";
import { counted, ensure, ExitCode, formatDuration } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { SampleStream, sampleText, sampleTexts } from "@lapidary/report/sample-text";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface SampleCommandOptions {
  readonly from: string;
  readonly prompts: readonly string[];
  readonly n: number | undefined;
  readonly chat: boolean;
  readonly tokens: number | undefined;
  /** Another name of `tokens`. */
  readonly maxTokens: number | undefined;
  readonly temperature: number | undefined;
  readonly topP: number | undefined;
  readonly topK: number | undefined;
  readonly seed: number | undefined;
}

/** Generates texts from a checkpoint on a separate worker. In a terminal, a single text is printed while it is generated. */
export async function sample(context: Context, options: SampleCommandOptions): Promise<ExitCode> {
  const { console, env, clock, interrupts } = context;
  const { from, prompts, n = 1, chat, temperature = 0.8, topP = 0.95, topK, seed = 0 } = options;
  const tokens = options.tokens ?? options.maxTokens ?? 64;
  checkSampling(options, tokens, temperature, topP);
  const { directory, run = null, step = null } = await resolveCheckpoint(context, from);
  const reporter = consoleReporter(console);
  const isStreamed = prompts.length * n === 1 && console.streams;
  const stream = isStreamed ? new SampleStream(console.columns, console.paint, (text) => console.write(text)) : undefined;
  const onText = (text: string): void => {
    if (stream === undefined) return;
    reporter.end();
    if (!stream.hasBegun) stream.begin(chat ? "" : (prompts[0] ?? ""));
    stream.push(text);
  };
  const request = { checkpoint: directory, prompts, n, chat, tokens, temperature, topP, topK, seed };
  const environment = { env, clock, signal: interrupts.signal, ...(isStreamed ? { onText } : {}) };
  const generated = await generateTexts(request, environment, reporter).finally(() => {
    reporter.end();
    stream?.end();
  });
  if (stream?.hasBegun !== true)
    console.result({ ...resultOf(generated, n), checkpoint: directory, run, step, warnings: generated.warnings }, () => {
      const [first] = generated.texts;
      const [columns, paint] = [console.columns, console.paint];
      if (generated.texts.length > 1) return sampleTexts(generated.texts, { isChat: chat, columns, paint });
      return sampleText({ prompt: chat ? "" : (first?.prompt ?? ""), text: first?.text ?? "" }, columns, paint);
    });
  const written = generated.texts.reduce((sum, text) => sum + text.tokens, 0);
  const rate = `${Math.round(rateOf(written, generated.generate_ms))} tokens/s`;
  console.say(`${counted(written, "token")} in ${formatDuration(generated.generate_ms)}: ${rate}`);
  return ExitCode.done;
}

/** The fields of the first text have been in the result since the command generated one text only. */
function resultOf({ texts, context, generate_ms }: GeneratedTexts, n: number): Readonly<Record<string, unknown>> {
  const first = ensure(texts[0], "text");
  const tokens = texts.reduce((sum, text) => sum + text.tokens, 0);
  return {
    prompt: first.prompt,
    prompt_tokens: first.promptTokens,
    prompt_tokens_seen: first.promptTokensSeen,
    context,
    text: first.text,
    texts: texts.map((text, i) => ({
      prompt: text.prompt,
      answer: i % n,
      seed: text.seed,
      text: text.text,
      tokens: text.tokens,
      end: text.end,
      prompt_tokens: text.promptTokens,
      prompt_tokens_seen: text.promptTokensSeen,
    })),
    tokens,
    generate_ms,
    tokens_per_s: rateOf(tokens, generate_ms),
  };
}

const rateOf = (tokens: number, ms: number): number => (tokens * 1000) / Math.max(ms, 1);

const maxTokens = 100_000;
const maxTexts = 1000;

function checkSampling(options: SampleCommandOptions, tokens: number, temperature: number, topP: number): void {
  const { n = 1, prompts, topK = 1 } = options;
  if (options.tokens !== undefined && options.maxTokens !== undefined && options.tokens !== options.maxTokens)
    throw argumentError("--tokens and --max-tokens are one option with two values", "--max-tokens", "give one of them");
  if (tokens < 1 || tokens > maxTokens) throw argumentError(`invalid number of tokens: ${tokens}`, "--tokens", `give 1 to ${maxTokens}`);
  if (temperature > 100) throw argumentError(`invalid temperature: ${temperature}`, "--temperature", "give 0 to 100; the default is 0.8");
  if (topP <= 0 || topP > 1) throw argumentError(`invalid probability: ${topP}`, "--top-p", "give a number above 0 and at most 1");
  if (topK < 1) throw argumentError(`invalid number of tokens: ${topK}`, "--top-k", "give 1 or more; the default is all tokens");
  if (n < 1 || n * prompts.length > maxTexts)
    throw argumentError(
      `invalid number of texts: ${n} for each of ${counted(prompts.length, "prompt")}`,
      "--n",
      `give 1 to ${maxTexts} texts`,
    );
}
