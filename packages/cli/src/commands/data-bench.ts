import { join, resolve } from "node:path";
import { type BenchReport, benchData, type StageReport } from "@lapidary/offline/data-bench";
import { ExitCode, textTable } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface DataBenchOptions {
  readonly stages: readonly string[];
  readonly input: string | undefined;
  readonly megabytes: number | undefined;
  readonly output: string | undefined;
  readonly tokenizer: string | undefined;
  readonly peer: string | undefined;
  readonly repetitions: number | undefined;
}

/** `lapidary data bench` times the stages of a data pipeline, ours in turn with those of datatrove and SentencePiece. */
export async function benchDataStages({ console, cwd, root, env }: Context, options: DataBenchOptions): Promise<ExitCode> {
  const path = (given: string | undefined): string | undefined => (given === undefined ? undefined : resolve(cwd, given));
  const output = path(options.output);
  if (output !== undefined) checkOutput({ kind: "directory", path: output, what: "the outputs of the stages" });
  const reporter = consoleReporter(console);
  // A name without a directory is a program on the PATH.
  const peer = options.peer?.includes("/") === true ? path(options.peer) : options.peer;
  const request = {
    fixtures: join(root, "e2e/golden/data"),
    input: path(options.input),
    megabytes: options.megabytes,
    stages: options.stages,
    output,
    tokenizer: path(options.tokenizer),
    peer,
    repetitions: Math.max(1, options.repetitions ?? (peer === undefined ? 1 : 3)),
    env,
  };
  const report = await benchData(request, reporter).finally(reporter.end);
  console.result({ ...report, ...totalsOf(report.stages) }, () => benchText(report));
  return ExitCode.done;
}

/** Of one stage: its own numbers. Of several: their sum, and the documents of the first and the last. */
const totalsOf = (stages: readonly StageReport[]): object => ({
  seconds: stages.reduce((sum, { ours }) => sum + ours.seconds, 0),
  documents_in: stages[0]?.ours.documents_in ?? 0,
  documents_out: stages.at(-1)?.ours.documents_out ?? 0,
});

function benchText({ core, repetitions, peer, stages }: BenchReport): string {
  const versions = Object.entries(peer ?? {}).map(([name, version]) => `${name} ${version}`);
  return [
    textTable(
      [
        { title: "stage" },
        ...["MB/s", "documents", "kept", "memory", "peer MB/s", "ratio", "goal"].map((title) => ({ title, align: "right" as const })),
      ],
      stages.map(({ stage, mb_per_s, ours, peer: other, ratio, goal }) => [
        stage,
        mb_per_s.toFixed(1),
        String(ours.documents_in),
        String(ours.documents_out),
        `${Math.round(ours.peak_bytes / 1e6)} MB`,
        other === undefined ? "-" : other.mb_per_s.toFixed(2),
        ratio === undefined ? "-" : `${ratio.toFixed(1)}x`,
        goal === undefined ? "-" : `${goal}x${ratio === undefined ? "" : ratio >= goal ? " met" : " missed"}`,
      ]),
    ),
    `${core === undefined ? "not bound to a core" : `core ${core}`}, MB of text a second of processor time, median of ${repetitions}; ${
      peer === undefined
        ? "no peer was measured: give --peer PYTHON with datatrove and sentencepiece"
        : `in turn with ${versions.join(", ")}`
    }`,
  ].join("\n");
}
