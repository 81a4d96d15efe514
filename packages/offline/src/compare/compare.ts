import { resolve } from "node:path";
import { openChecker, parseChecker } from "@lapidary/evaluation";
import { LapidaryError } from "@lapidary/std";
import {
  type ComparedModels,
  compareModels,
  defaultTemplate,
  type ModelHost,
  ownWorkers,
  readAnswerModel,
  readJudgeTemplate,
  readVotes,
  type VerdictSource,
} from "@lapidary/comparison";
import { openPool, openTokenModel, type SessionOptions } from "@lapidary/trainer";
import { resolveCheckpoint } from "../checkpoints/resolve-checkpoint.js";
import type { Directories } from "../directories.js";
import type { Reporter } from "../reporter.js";

export { modelComparisonText } from "@lapidary/comparison";

/** How the verdicts are made; at most one of the first three. */
export interface SourceOptions {
  /** The name of a checker, the path of a module, or the settings of a checker as JSON. */
  readonly checker?: string | undefined;
  /** A run, or the directory of a checkpoint. */
  readonly judge?: string | undefined;
  readonly verdicts?: string | undefined;
  /** A file, for a judge. */
  readonly template?: string | undefined;
  readonly orders: "both" | "shuffled";
}

export interface CompareRunsRequest {
  /** Runs, or directories of checkpoints. */
  readonly candidate: string;
  readonly baseline: string;
  readonly data: readonly string[];
  readonly rows: number | undefined;
  readonly source: SourceOptions;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
}

export interface CompareEnvironment extends Pick<Directories, "home" | "cwd"> {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** Lets two models answer held-out prompts, on a worker process of its own, and reports which answers are better. */
export async function compareRuns(
  request: CompareRunsRequest,
  environment: CompareEnvironment,
  reporter: Reporter,
): Promise<ComparedModels> {
  const { env } = environment;
  const options = { environment: env, log: (worker: string, line: string): void => reporter.detail(`${worker}: ${line}`) };
  const pool = await openPool({ ...options, workers: 0 });
  try {
    return await compareOnWorkers(request, environment, hostOf({ ...options, pool }), reporter);
  } finally {
    await pool.close();
  }
}

/** Each model has a worker group of its own. The pool lets the models of a comparison use one worker process after each other. */
const hostOf = (workers: Pick<SessionOptions, "environment" | "log" | "pool">): ModelHost => ({
  open: async (directory) => ownWorkers(await openTokenModel({ checkpoint: directory, ...workers })),
});

async function compareOnWorkers(
  { candidate, baseline, data, source: sourceOptions, ...settings }: CompareRunsRequest,
  environment: CompareEnvironment,
  host: ModelHost,
  reporter: Reporter,
): Promise<ComparedModels> {
  const { cwd, signal } = environment;
  reporter.progress("read the models");
  const models = {
    candidate: await readAnswerModel(candidate, await resolveCheckpoint(environment, candidate), host),
    baseline: await readAnswerModel(baseline, await resolveCheckpoint(environment, baseline), host),
  };
  const source = await openSource(sourceOptions, environment, host);
  try {
    const files = data.map((file) => resolve(cwd, file));
    return await compareModels({ ...models, data: files, source, ...settings }, { signal, reporter });
  } finally {
    if (source.kind === "checker") await source.checker.close();
  }
}

/** Everything about the verdicts is checked before the models answer. */
async function openSource(
  { checker, judge, verdicts, template, orders }: SourceOptions,
  environment: CompareEnvironment,
  host: ModelHost,
): Promise<VerdictSource> {
  const { cwd } = environment;
  if (checker !== undefined)
    return {
      kind: "checker",
      name: checker,
      checker: await openChecker(parseChecker(checkerValue(checker), "--checker"), cwd, "--checker"),
    };
  if (verdicts !== undefined) return { kind: "verdicts", votes: readVotes(resolve(cwd, verdicts)) };
  if (judge === undefined) return { kind: "none" };
  const model = await readAnswerModel(judge, await resolveCheckpoint(environment, judge), host);
  model.verdictTokens();
  return {
    kind: "judge",
    model,
    template: template === undefined ? defaultTemplate : readJudgeTemplate(resolve(cwd, template)),
    orders,
  };
}

/** `sorted`, `./check.mjs`, or `{"checker": "regex", "pattern": "^[0-9]+$"}`. */
function checkerValue(text: string): unknown {
  if (!text.trimStart().startsWith("{")) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_CHECKER_SETTING",
      message: `the settings of the checker are not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      location: "--checker",
      remedy: `write '{"checker": "regex", "pattern": "^[0-9]+$"}'`,
    });
  }
}
