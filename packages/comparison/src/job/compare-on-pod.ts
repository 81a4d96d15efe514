import { basename, dirname, join } from "node:path";
import type { ComparisonReport } from "@lapidary/api";
import { chatTokenizer, endAnswer } from "@lapidary/data";
import { openChecker, parseChecker } from "@lapidary/evaluation";
import { HfCheckpoint } from "@lapidary/interop";
import type { ModelConfig } from "@lapidary/models";
import { ensure, jsonText, replaceFile } from "@lapidary/std";
import { viewMachine, writeProgramView } from "@lapidary/telemetry";
import { readTokenizer, withTurnTokens } from "@lapidary/tokenizer";
import { printMesh } from "@lapidary/topology";
import {
  type ExecutionOptions,
  openGroupModel,
  openGroupScores,
  programRequest,
  type ProgramRequest,
  programsFor,
  type ProgramSet,
  readStopRule,
  type TokenModel,
} from "@lapidary/trainer";
import { checkInputs } from "@lapidary/training/inputs";
import { meshOf, type ResolvedComparison, type ResolvedJob } from "@lapidary/training";
import { type AnswerModel, type CheckpointPlace, readAnswerModel } from "../answer-model.js";
import { compareModels } from "../compare-models.js";
import { defaultTemplate, readJudgeTemplate } from "../judge-template.js";
import { modelComparisonText } from "../model-comparison-text.js";
import { readVotes } from "../verdict-file.js";
import type { VerdictSource } from "../verdicts.js";
import { reporterOfRun } from "./run-reporter.js";
import { RecoveringModel, RunWorkers } from "./recovering-workers.js";
import { scoreUnits, tokenUnits } from "./token-workers.js";
import { UnitLog } from "./unit-log.js";

/** Files of a comparison in the directory of its run. */
const comparisonFiles = {
  units: "units.jsonl",
  report: "comparison.json",
  text: "comparison.txt",
  answers: "answers.jsonl",
} as const;

/** A comparison that runs: its options and its parts. */
interface Comparison extends ResolvedComparison {
  readonly options: ExecutionOptions;
  readonly workers: RunWorkers;
  readonly programs: ProgramSet;
}

/**
 * Runs a job of the recipe compare from its file to its report, on the worker group of the coordinator:
 *
 *     job ──► programs ──► candidate ──► baseline ──► verdicts ──► report
 *                          └── units of one batch, in the log of units ──┘
 *
 * @throws LapidaryError for an invalid job, model or file; the reason of the signals
 */
export async function compareOnPod(options: ExecutionOptions): Promise<ComparisonReport> {
  const { run, job, root, slice, clock } = options;
  const begin = clock.monotonic();
  run.enter("compiling", { slice });
  await checkInputs(job, { projectRoot: root });
  const comparison = comparisonOf(job);
  const programs = await compilePrograms(options, await requestOf(options, comparison));
  if (programs.view !== undefined) writeProgramView(run.directory, programs.view);
  const workers = new RunWorkers(options, new UnitLog(join(run.directory, comparisonFiles.units)));
  run.enter("placing");
  run.enter("running");
  const parts: Comparison = { ...comparison, options, workers, programs };
  const source = await openSource(parts);
  try {
    const { max_new_tokens: maxTokens, temperature, rows, optimum } = comparison.compare;
    const request = {
      candidate: await modelOf(parts, comparison.candidate),
      baseline: await modelOf(parts, comparison.baseline),
      data: ensure(job.data.eval, "data.eval").map(({ path }) => path),
      rows,
      source,
      maxTokens,
      temperature,
      seed: job.seed,
      beta: optimum?.beta,
    };
    const { report, rows: answers } = await compareModels(request, { signal: options.signal, reporter: reporterOfRun(options) });
    const text = modelComparisonText(report);
    replaceFile(join(run.directory, comparisonFiles.answers), answers.map((row) => `${JSON.stringify(row)}\n`).join(""));
    replaceFile(join(run.directory, comparisonFiles.text), `${text}\n`);
    replaceFile(join(run.directory, comparisonFiles.report), `${jsonText(report, 2)}\n`);
    run.enter("running", { fromStep: 1 });
    return {
      id: run.id,
      model: job.model.name,
      parameters: programs.facts.parameters,
      chips: job.chips,
      workers: workers.size,
      mesh: printMesh(meshOf(job)),
      slice,
      zero: job.zero,
      warnings: run.summary.warnings ?? [],
      comparison: report,
      answers: join(run.directory, comparisonFiles.answers),
      text,
      total_ms: clock.monotonic() - begin,
    };
  } finally {
    if (source.kind === "checker") await source.checker.close();
    run.record({ type: "workers_released", after_ms: clock.monotonic() - begin, slice });
  }
}

function comparisonOf({ candidate, baseline, judge, orders, compare }: ResolvedJob): ResolvedComparison {
  return {
    candidate: ensure(candidate, "candidate"),
    baseline: ensure(baseline, "baseline"),
    ...(judge === undefined ? {} : { judge }),
    ...(orders === undefined ? {} : { orders }),
    compare: ensure(compare, "compare"),
  };
}

/** A reward model needs a program for scores. Its rows end as those of its data. */
async function requestOf({ job, root }: ExecutionOptions, { judge, compare, candidate }: ResolvedComparison): Promise<ProgramRequest> {
  const request = { ...programRequest(job), machine: viewMachine(job, root) };
  if (judge === undefined || !("reward" in judge)) return request;
  return { ...request, compare: { newTokens: compare.max_new_tokens, endTokens: readStopRule(candidate).endTokens } };
}

const compilePrograms = ({ run, cacheDir, signal }: ExecutionOptions, request: ProgramRequest): Promise<ProgramSet> =>
  programsFor(request, {
    cacheDir: join(cacheDir, "programs"),
    signal,
    onProgress: (done, total) => {
      if (!signal.aborted) run.enter("compiling", { activity: { what: "compile", done, total } });
    },
  });

/** The candidate or the baseline. */
function modelOf({ options, workers, programs, compare }: Comparison, directory: string): Promise<AnswerModel> {
  const { batch: rows, seq } = options.job.train;
  const prompt = seq - compare.max_new_tokens;
  const shape = { rows, prompt, seq };
  const config = options.job.model.config;
  const open = async (): Promise<ReturnType<typeof tokenUnits>> =>
    tokenUnits(
      new RecoveringModel<TokenModel>(workers, (group) => openGroupModel({ group, programs: programs.programs, config, shape, directory })),
      { directory, shape },
    );
  const place = placeOf(directory);
  return readAnswerModel(place.run ?? directory, place, { limits: { prompt, seq }, open });
}

/** The run and the step of a checkpoint in the directory of a run. */
function placeOf(directory: string): CheckpointPlace {
  const step = /^step-(\d+)$/.exec(basename(directory))?.[1];
  const checkpoints = dirname(directory);
  if (step === undefined || basename(checkpoints) !== "checkpoints") return { directory };
  return { directory, run: basename(dirname(checkpoints)), step: Number(step) };
}

/** Everything about the verdicts is checked before the models answer. */
async function openSource(parts: Comparison): Promise<VerdictSource> {
  const { judge } = parts;
  if (judge === undefined) return { kind: "none" };
  if ("verdicts" in judge && typeof judge.verdicts === "string") return { kind: "verdicts", votes: readVotes(judge.verdicts) };
  if ("reward" in judge && typeof judge.reward === "string") return { kind: "reward", model: rewardModel(parts, judge.reward) };
  if ("model" in judge && typeof judge.model === "string") {
    const { model, template, seq } = judge as { readonly model: string; readonly template?: string; readonly seq?: number };
    return {
      kind: "judge",
      model: await judgeModel(parts, model, seq),
      template: template === undefined ? defaultTemplate : readJudgeTemplate(template),
      orders: parts.orders ?? "both",
    };
  }
  const checker = await openChecker(parseChecker(judge, "judge"), "/", "judge");
  return { kind: "checker", name: String((judge as { readonly checker: unknown }).checker), checker };
}

function rewardModel(
  { options, workers, programs, candidate }: Comparison,
  directory: string,
): Extract<VerdictSource, { kind: "reward" }>["model"] {
  const { job } = options;
  const stored = readTokenizer(candidate);
  const chat = chatTokenizer((withTurnTokens(stored.tokenizer) ?? stored).tokenizer);
  const shape = { rows: job.train.batch, prompt: job.train.seq, seq: job.train.seq + readStopRule(candidate).endTokens };
  return {
    name: placeOf(directory).run ?? directory,
    end: (ids) => endAnswer(ids, chat).ids,
    start: async () =>
      scoreUnits(
        new RecoveringModel(workers, (group) =>
          openGroupScores({ group, programs: programs.programs, config: job.model.config, shape, directory }),
        ),
        { directory, shape },
      ),
  };
}

/** The judge may be another model than those that it judges. It needs programs of its own. */
async function judgeModel({ options, workers }: Comparison, directory: string, limit: number | undefined): Promise<AnswerModel> {
  const config = await configOf(directory);
  const seq = Math.min(limit ?? config.contextLength, config.contextLength);
  const { machine: _, ...request } = { ...programRequest(options.job), machine: undefined };
  const { programs } = await compilePrograms(options, { ...request, model: config, seq, compare: { newTokens: 0 } });
  const shape = { rows: options.job.train.batch, prompt: seq, seq };
  const place = placeOf(directory);
  const model = await readAnswerModel(place.run ?? directory, place, {
    limits: { prompt: seq, seq },
    open: async () =>
      tokenUnits(new RecoveringModel<TokenModel>(workers, (group) => openGroupModel({ group, programs, config, shape, directory })), {
        directory,
        shape,
      }),
  });
  model.verdictTokens();
  return model;
}

async function configOf(directory: string): Promise<ModelConfig> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  await checkpoint.close();
  return checkpoint.config;
}
