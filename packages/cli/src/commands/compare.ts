import { resolve } from "node:path";
import { compareRuns, modelComparisonText, type SourceOptions } from "@lapidary/offline/compare";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { checkOutput, writeOutputFile } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface CompareOptions extends Omit<SourceOptions, "orders"> {
  readonly candidate: string;
  readonly baseline: string;
  readonly data: readonly string[];
  readonly orders: string | undefined;
  readonly maxTokens: number | undefined;
  readonly temperature: number | undefined;
  readonly seed: number | undefined;
  readonly rows: number | undefined;
  readonly output: string | undefined;
}

/** `lapidary compare CANDIDATE BASELINE` lets two models answer the same prompts and reports which answers are better. */
export async function compare(context: Context, options: CompareOptions): Promise<ExitCode> {
  const { console, cwd, home, env, interrupts } = context;
  checkOptions(options);
  const { candidate, baseline, data, rows, checker, judge, verdicts, template, maxTokens = 128, temperature = 0, seed = 0 } = options;
  const output =
    options.output === undefined ? undefined : { kind: "file" as const, path: resolve(cwd, options.output), what: "the answers" };
  if (output !== undefined) checkOutput(output);
  const orders = options.orders === "shuffled" ? "shuffled" : "both";
  const reporter = consoleReporter(console);
  const compared = await compareRuns(
    { candidate, baseline, data, rows, source: { checker, judge, verdicts, template, orders }, maxTokens, temperature, seed },
    { cwd, home, env, signal: interrupts.signal },
    reporter,
  ).finally(reporter.end);
  if (output !== undefined) writeOutputFile(output.path, output.what, compared.rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  console.result({ ...compared.report, out: output?.path ?? null }, () =>
    modelComparisonText(compared.report, console.columns, console.paint),
  );
  if (output !== undefined) console.say(`${output.path} has the prompts, answers and verdicts`);
  return ExitCode.done;
}

function checkOptions({
  data,
  checker,
  judge,
  verdicts,
  template,
  orders,
  maxTokens = 1,
  temperature = 0,
  rows = 1,
}: CompareOptions): void {
  if (data.length === 0) throw argumentError("no held-out prompts are named", "--data", "add --data FILE");
  const sources = Object.entries({ checker, judge, verdicts }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`]));
  if (sources.length > 1) throw argumentError(`${sources.join(" and ")} were given`, sources[1] ?? "", "give one source of verdicts");
  if (judge === undefined && template !== undefined)
    throw argumentError("only a judge has a template", "--template", "add --judge, or remove it");
  if (judge === undefined && orders !== undefined)
    throw argumentError("only a judge sees an order of answers", "--orders", "add --judge, or remove it");
  if (maxTokens < 1 || maxTokens > 100_000)
    throw argumentError(`invalid number of tokens: ${maxTokens}`, "--max-tokens", "give 1 to 100000");
  if (temperature > 100) throw argumentError(`invalid temperature: ${temperature}`, "--temperature", "give 0 to 100; the default is 0");
  if (rows < 1) throw argumentError(`invalid number of rows: ${rows}`, "--rows", "give at least 1");
}
