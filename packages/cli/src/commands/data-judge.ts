import { resolve } from "node:path";
import { answerFixtures } from "@lapidary/offline/data-judge";
import { counted, ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput, type Output, writeOutputFile } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface DataJudgeOptions {
  readonly task: string;
  readonly fixtures: string;
  readonly output: string;
}

/** `lapidary data judge TASK FIXTURES` answers the questions of a directory of fixtures. Its `judge.py` scores the answers. */
export async function judgeData({ console, cwd }: Context, options: DataJudgeOptions): Promise<ExitCode> {
  const output: Output = { kind: "file", path: resolve(cwd, options.output), what: "the answers" };
  checkOutput(output);
  const reporter = consoleReporter(console);
  const fixtures = resolve(cwd, options.fixtures);
  const answers = await answerFixtures({ task: options.task, fixtures }, reporter).finally(reporter.end);
  writeOutputFile(output.path, output.what, answers.map((answer) => `${JSON.stringify(answer)}\n`).join(""));
  console.result(
    { task: options.task, fixtures, answers: answers.length, output: output.path },
    () =>
      `${output.path}: ${counted(answers.length, "answer")}; score them with: python3 judge.py ${options.task} ${fixtures} ${output.path}`,
  );
  return ExitCode.done;
}
