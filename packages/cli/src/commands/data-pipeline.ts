import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import {
  cardText,
  collectGarbage,
  datasetCard,
  diffDatasets,
  fetchSources,
  idleStages,
  outputDirectory,
  pipelineStatus,
  Progress,
  readPipeline,
  rememberRun,
  runPipeline,
  type RunResult,
  s3AccessOf,
  type StageAccount,
  storeLocation,
  verifyObjects,
  whatIf,
  whyDocument,
  writeCard,
  writeCardPage,
} from "@lapidary/offline/data-pipeline";
import { withTaskQueue } from "@lapidary/offline/data-worker";
import { ExitCode, formatBytes, formatDuration, LapidaryError, textTable } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { consoleReporter } from "../terminal/console-reporter.js";
import { differenceText, effectText, historyText, runText, stageTableText, stateText } from "./data-pipeline-text.js";

export interface DataRunOptions {
  readonly file: string;
  readonly workers: number | undefined;
  /** A URL or `auto`. Default: this process runs the workers. */
  readonly redis: string | undefined;
  /** A directory or `s3://bucket/prefix`. Default: what the pipeline file names. */
  readonly store: string | undefined;
  readonly check: boolean;
}

/** `lapidary data run FILE` computes what the store of a pipeline lacks, and publishes its dataset. */
export async function runData(
  context: Context,
  { file, workers = availableParallelism(), redis, store, check }: DataRunOptions,
): Promise<ExitCode> {
  const { console, clock, cwd, root, home, env, interrupts } = context;
  if (workers === 0) throw argumentError("invalid number of workers: 0", "--workers", "write at least 1");
  const named = readPipeline(resolve(cwd, file));
  const pipeline = store === undefined ? named : { ...named, store: storeLocation(cwd, store) };
  const s3 = s3AccessOf(env);
  rememberRun(home, pipeline.out);
  const reporter = consoleReporter(console);
  const progress = new Progress(clock, reporter.progress);
  const started = clock.monotonic();
  const options = { pipeline, s3, workers, signal: interrupts.signal, progress, warn: reporter.warn };
  const result = await (redis === undefined
    ? runPipeline(options)
    : withTaskQueue({ redis, root, home, env, warn: reporter.warn }, (executor) => runPipeline({ ...options, executor }))
  ).finally(reporter.end);
  if (check) await checkResult(pipeline.out, s3, result);
  const seconds = (clock.monotonic() - started) / 1000;
  const rates = progress.rates();
  console.result(
    { ...runJson(pipeline.out, result), seconds, checked: check, mb_per_second: rates },
    () =>
      `${runText(pipeline.out, result)}\n${formatDuration(1000 * seconds)}${redis === undefined ? `, ${workers} worker processes` : ""}`,
  );
  return ExitCode.done;
}

/** `lapidary data fetch FILE` downloads the packages that are sources of a pipeline. */
export async function fetchData(context: Context, file: string): Promise<ExitCode> {
  const { console, cwd, interrupts } = context;
  const pipeline = readPipeline(resolve(cwd, file));
  const reporter = consoleReporter(console);
  const sources = await fetchSources(pipeline, interrupts.signal, (source, name) =>
    reporter.progress(`download ${source}`, () => name),
  ).finally(reporter.end);
  console.result({ sources: sources.map(({ isNew, ...each }) => ({ ...each, downloaded: isNew })) }, () =>
    sources.length === 0
      ? "no source of this pipeline is fetched"
      : textTable(
          [{ title: "source" }, { title: "package" }, { title: "licence" }, { title: "" }],
          sources.map(({ source, package: name, licence, isNew }) => [source, name, licence, isNew ? "downloaded" : "was there"]),
        ),
  );
  return ExitCode.done;
}

/** @throws LapidaryError LAP_DATA_STORE, LAP_DATA_IDLE */
async function checkResult(out: string, s3: ReturnType<typeof s3AccessOf>, { stages }: RunResult): Promise<void> {
  await verifyObjects(out, s3);
  const [idle] = idleStages(stages);
  if (idle === undefined) return;
  throw new LapidaryError({
    code: "LAP_DATA_IDLE",
    message: `the stage ${idle} changed none of ${stages.find(({ stage }) => stage === idle)?.counts.in ?? 0} documents`,
    location: out,
    remedy: `correct the settings of ${idle}, or remove the stage`,
  });
}

const runJson = (out: string, { computed, found, setAside, stages, dataset }: RunResult): Record<string, unknown> => ({
  out,
  computed,
  found,
  set_aside: setAside,
  stages: stages.map(stageJson),
  dataset: dataset ?? null,
});

const stageJson = ({ stage, expect, shards, done, counts, bySource }: StageAccount): Record<string, unknown> => ({
  stage,
  shards,
  done,
  expect,
  ...counts,
  sources: Object.fromEntries(Object.entries(bySource).map(([name, { histograms: _, examples: __, ...rest }]) => [name, rest])),
});

/** `lapidary data status`: how far a pipeline is. */
export async function showDataStatus(context: Context, data: string | undefined): Promise<ExitCode> {
  const status = await pipelineStatus(outputDirectory(data, context), s3AccessOf(context.env));
  const { out, file, pid = null, stages, isComplete, isPublished } = status;
  context.console.result(
    { out, file, running: pid, complete: isComplete, published: isPublished, stages: stages.map(stageJson) },
    () => `${out}: ${stateText(status)}\n${stageTableText(stages)}`,
  );
  return ExitCode.done;
}

/** `lapidary data card`: what a person reads of a dataset. Also writes `card.md`, `card.json` and `card.html`. */
export async function showDataCard(context: Context, data: string | undefined): Promise<ExitCode> {
  const out = outputDirectory(data, context);
  const card = await datasetCard(out, s3AccessOf(context.env));
  const page = writeCardPage(context.root, out, card);
  const files = [...writeCard(out, card), ...(page === undefined ? [] : [page])];
  context.console.result({ ...card, files }, () => cardText(card).trimEnd());
  if (page !== undefined) context.console.say(`open ${page} in a browser for charts`);
  return ExitCode.done;
}

/** `lapidary data whatif RULE`: who would stay under a changed rule. */
export async function showWhatIf(context: Context, change: string, data: string | undefined): Promise<ExitCode> {
  const effect = await whatIf(outputDirectory(data, context), change, s3AccessOf(context.env));
  const { kept, gained, lost, dropped, bySource, in: all } = effect;
  context.console.result({ change, in: all, kept, dropped, sources: bySource, gained, lost }, () => effectText(effect));
  return ExitCode.done;
}

/** `lapidary data why DOC`: one document through all stages. */
export async function showWhy(context: Context, document: string, data: string | undefined): Promise<ExitCode> {
  const found = await whyDocument(outputDirectory(data, context), document, s3AccessOf(context.env));
  context.console.result({ documents: found.map(({ isKept, ...each }) => ({ ...each, kept: isKept })) }, () =>
    found.map(historyText).join("\n\n"),
  );
  return ExitCode.done;
}

/** `lapidary data diff A B`: how two published datasets differ. */
export async function showDataDiff(context: Context, a: string, b: string): Promise<ExitCode> {
  const difference = await diffDatasets(outputDirectory(a, context), outputDirectory(b, context));
  context.console.result(
    { ...difference, stages: difference.stages.map(({ stage, before = null, after = null }) => ({ stage, before, after })) },
    () => differenceText(difference),
  );
  return ExitCode.done;
}

/** `lapidary data gc`: removes the objects that no pipeline of the store needs. */
export async function collectData(
  context: Context,
  data: string | undefined,
  dryRun: boolean,
  forget: string | undefined,
): Promise<ExitCode> {
  const options = { isDry: dryRun, s3: s3AccessOf(context.env), forget };
  const { objects, bytes, kept, others } = await collectGarbage(outputDirectory(data, context), options);
  context.console.result({ removed: dryRun ? [] : objects, removable: objects, bytes, kept, others, dry_run: dryRun }, () =>
    [
      `${objects.length} objects (${formatBytes(bytes)}) ${dryRun ? "can be removed" : "removed"}, ${kept} kept`,
      ...others.map(({ id, file }) => `kept what ${file} needs (--forget ${id} if this pipeline exists no more)`),
    ].join("\n"),
  );
  return ExitCode.done;
}
