import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, LapidaryError, replaceFile, systemError } from "@lapidary/std";
import { z } from "zod";
import type { Pipeline } from "../file/pipeline-file.js";
import type { Plan } from "../plan/plan.js";
import { keyOfFile, stageFilesOf } from "../run/stage-files.js";
import { type StageName, stageName } from "../stages/settings.js";

const key = z.string();
const view = z.object({ documents: key.optional(), edits: z.array(key), columns: z.array(key) });
const columns = z.record(z.string(), z.enum(["number", "text"]));

const planFile = z.object({
  version: z.literal(1),
  /** Absolute path of the pipeline file. */
  file: z.string(),
  sources: z.record(z.string(), z.object({ licence: z.string(), damaged: z.enum(["accept", "error"]) })),
  stages: z.array(
    z.object({
      stage: stageName,
      settings: z.json(),
      columns,
      expect: z.number(),
      accounts: z.array(z.object({ source: z.string(), shard: z.string(), key, view })),
    }),
  ),
  shards: z.array(z.object({ source: z.string(), name: z.string(), bytes: z.number(), view, tokens: key.optional() })),
  /** Where the objects are, if not in the output directory: an absolute path, or `s3://bucket/prefix`. */
  store: z.string().optional(),
  /** The objects with the files of stages and with the lists of inputs. */
  files: z.array(key).default([]),
  /** All objects of the pipeline. */
  keys: z.array(key),
  /** The object of a tokenizer that the pipeline trains. */
  trained: key.optional(),
  /** The object of what the corpus has of evaluation sets. */
  contamination: key.optional(),
});

/** `plan.json`: what a pipeline consists of, for the commands that read its results. */
export type PlanFile = Readonly<z.infer<typeof planFile>>;

const planFileName = "plan.json";

export function planFileOf(pipeline: Pipeline, plan: Plan): PlanFile {
  const byKey = new Map(plan.tasks.map((task) => [task.key, task]));
  const viewBefore = (of: string): PlanFile["shards"][number]["view"] => viewOf(byKey.get(of)?.shard?.view);
  return {
    version: 1,
    file: pipeline.file,
    sources: Object.fromEntries(Object.entries(pipeline.sources).map(([name, { licence, damaged }]) => [name, { licence, damaged }])),
    stages: plan.stages.map(({ stage, settings, columns, expect, accounts }) => ({
      stage,
      settings: settings as PlanFile["stages"][number]["settings"],
      columns,
      expect,
      accounts: accounts.map((account) => ({ ...account, view: viewBefore(account.key) })),
    })),
    shards: plan.shards.map(({ shard, view, tokens }) => ({
      source: shard.source,
      name: shard.name,
      bytes: shard.files.reduce((sum, { bytes }) => sum + bytes, 0),
      view: viewOf(view),
      ...(tokens === undefined ? {} : { tokens }),
    })),
    ...(pipeline.store === pipeline.out ? {} : { store: pipeline.store }),
    files: [...new Set([...stageFilesOf(plan).map(keyOfFile), ...plan.lists.keys()])],
    keys: [...new Set(plan.tasks.map(({ key }) => key))],
    ...keyWithoutShard(plan, "tokenize", "trained"),
    ...keyWithoutShard(plan, "decontaminate", "contamination"),
  };
}

/** The key of the last object of a stage that all shards share. */
function keyWithoutShard(
  { tasks }: Plan,
  stage: StageName,
  name: "trained" | "contamination",
): { readonly trained?: string; readonly contamination?: string } {
  const task = tasks.findLast((each) => each.stage === stage && each.shard === undefined);
  return task === undefined ? {} : { [name]: task.key };
}

const viewOf = (view: Plan["shards"][number]["view"] | undefined): PlanFile["shards"][number]["view"] => ({
  ...(view?.documents === undefined ? {} : { documents: view.documents }),
  edits: [...(view?.edits ?? [])],
  columns: [...(view?.columns ?? [])],
});

export function writePlanFile(out: string, plan: PlanFile): void {
  replaceFile(join(out, planFileName), `${JSON.stringify(plan)}\n`);
}

/** Whether a pipeline ran with this output. */
export const hasPlanFile = (out: string): boolean => existsSync(join(out, planFileName));

/** @throws LapidaryError LAP_DATA_NO_RESULT, LAP_FILE_… */
export function readPlanFile(out: string): PlanFile {
  const path = join(out, planFileName);
  const missing = (message: string): LapidaryError =>
    new LapidaryError({ code: "LAP_DATA_NO_RESULT", message, location: path, remedy: "run the pipeline with `lapidary data run`" });
  if (!existsSync(path)) throw missing(`${out} has no result of a pipeline`);
  try {
    const parsed = planFile.safeParse(JSON.parse(readFileSync(path, "utf8")));
    if (parsed.success) return parsed.data;
  } catch (error) {
    if (isSystemError(error)) throw systemError(error, { doing: "read the plan of a pipeline", place: path });
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw missing("the plan of the pipeline has another form");
}
