import { closeSync, existsSync, openSync, readSync } from "node:fs";
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

const header = z.object({
  version: z.literal(2),
  /** Absolute path of the pipeline file. */
  file: z.string(),
  sources: z.record(z.string(), z.object({ licence: z.string(), damaged: z.enum(["accept", "error"]) })),
  /** `shards` is how many shards have an account of the stage. */
  stages: z.array(z.object({ stage: stageName, settings: z.json(), columns, expect: z.number(), shards: z.number() })),
  /** Where the objects are, if not in the output directory: an absolute path, or `s3://bucket/prefix`. */
  store: z.string().optional(),
  /** The objects with the files of stages and with the lists of inputs. */
  files: z.array(key),
  /** The object of a tokenizer that the pipeline trains. */
  trained: key.optional(),
  /** The object of what the corpus has of evaluation sets. */
  contamination: key.optional(),
});

/** A shard: its view after the last stage, and the object with the account of each of its stages, by the place of the stage. */
const shard = z.object({
  source: z.string(),
  name: z.string(),
  bytes: z.number(),
  view,
  tokens: key.optional(),
  accounts: z.array(z.object({ stage: z.number(), key, view })),
});
export type PlannedShard = Readonly<z.infer<typeof shard>>;

const line = z.union([
  z.object({ shard }),
  z.object({ keys: z.array(key) }),
  /** The last line: how many shards and keys the lines before have. */
  z.object({ end: z.object({ shards: z.number(), keys: z.number() }) }),
]);
type Line = z.infer<typeof line>;

/**
 * `plan.jsonl`: what a pipeline consists of, for the commands that read its results. The first line has what all shards share. The others have one shard or some
 * keys each, so that the memory of a reader does not depend on the number of shards.
 */
export interface PlanFile extends Readonly<z.infer<typeof header>> {
  /** All shards, in the order of the plan. Each call reads them anew. @throws LapidaryError LAP_DATA_NO_RESULT, LAP_FILE_… */
  shards(): Iterable<PlannedShard>;
  /** All objects of the pipeline. An object that several tasks compute can appear more than once. */
  keys(): Iterable<string>;
}

const planFileName = "plan.jsonl";

export function planFileOf(pipeline: Pipeline, plan: Plan): PlanFile {
  return {
    version: 2,
    file: pipeline.file,
    sources: Object.fromEntries(Object.entries(pipeline.sources).map(([name, { licence, damaged }]) => [name, { licence, damaged }])),
    stages: plan.stages.map(({ stage, settings, columns, expect, accounts }) => ({
      stage,
      settings: settings as PlanFile["stages"][number]["settings"],
      columns,
      expect,
      shards: accounts.length,
    })),
    ...(pipeline.store === pipeline.out ? {} : { store: pipeline.store }),
    files: [...new Set([...stageFilesOf(plan).map(keyOfFile), ...plan.lists.keys()])],
    ...keyWithoutShard(plan, "tokenize", "trained"),
    ...keyWithoutShard(plan, "decontaminate", "contamination"),
    shards: () => shardsOf(plan),
    *keys() {
      for (const task of plan.tasks) yield task.key;
    },
  };
}

/** The accounts of a stage are in the order of the shards. A stage can lack some of them. */
function* shardsOf({ shards, stages }: Plan): Generator<PlannedShard> {
  const next = stages.map(() => 0);
  for (const { shard, view, tokens } of shards)
    yield {
      source: shard.source,
      name: shard.name,
      bytes: shard.files.reduce((sum, { bytes }) => sum + bytes, 0),
      view: viewOf(view),
      ...(tokens === undefined ? {} : { tokens }),
      accounts: stages.flatMap(({ accounts }, stage) => {
        const account = accounts[next[stage] ?? 0];
        if (account?.shard !== shard.name) return [];
        next[stage] = (next[stage] ?? 0) + 1;
        return [{ stage, key: account.key, view: viewOf(account.view) }];
      }),
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

const viewOf = (view: Plan["shards"][number]["view"]): PlannedShard["view"] => ({
  ...(view.documents === undefined ? {} : { documents: view.documents }),
  edits: [...view.edits],
  columns: [...view.columns],
});

/** @throws an error of the file system */
export function writePlanFile(out: string, plan: PlanFile): void {
  replaceFile(join(out, planFileName), textsOf(plan));
}

/** Texts of about 1 MB, whose lines are those of the file. */
function* textsOf(plan: PlanFile): Generator<string> {
  let text = "";
  for (const each of linesOf(plan)) {
    text += `${JSON.stringify(each)}\n`;
    if (text.length < 1e6) continue;
    yield text;
    text = "";
  }
  yield text;
}

const keysOfLine = 1024;

function* linesOf({ shards, keys, ...shared }: PlanFile): Generator<z.infer<typeof header> | Line> {
  yield shared;
  const count = { shards: 0, keys: 0 };
  for (const each of shards()) {
    count.shards++;
    yield { shard: each };
  }
  let some: string[] = [];
  for (const each of keys()) {
    count.keys++;
    some.push(each);
    if (some.length < keysOfLine) continue;
    yield { keys: some };
    some = [];
  }
  yield { keys: some };
  yield { end: count };
}

/** Whether a pipeline ran with this output. */
export const hasPlanFile = (out: string): boolean => existsSync(join(out, planFileName));

/** @throws LapidaryError LAP_DATA_NO_RESULT, LAP_FILE_… */
export function readPlanFile(out: string): PlanFile {
  const path = join(out, planFileName);
  if (!existsSync(path)) throw noResult(`${out} has no result of a pipeline`, path);
  const [first] = valuesOf(path);
  const parsed = header.safeParse(first);
  if (!parsed.success) throw otherForm(path);
  return {
    ...parsed.data,
    *shards() {
      for (const each of checkedLines(path)) if ("shard" in each) yield each.shard;
    },
    *keys() {
      for (const each of checkedLines(path)) if ("keys" in each) yield* each.keys;
    },
  };
}

const noResult = (message: string, location: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_NO_RESULT", message, location, remedy: "run the pipeline with `lapidary data run`" });
const otherForm = (path: string): LapidaryError => noResult("the plan of the pipeline has another form", path);

/** The lines after the first one. Lines that are missing are an error after the last one. */
function* checkedLines(path: string): Generator<Line> {
  const count = { shards: 0, keys: 0 };
  let end: typeof count | undefined;
  let isFirst = true;
  for (const value of valuesOf(path)) {
    if (isFirst) {
      isFirst = false;
      continue;
    }
    const parsed = line.safeParse(value);
    if (!parsed.success) throw otherForm(path);
    if ("shard" in parsed.data) count.shards++;
    if ("keys" in parsed.data) count.keys += parsed.data.keys.length;
    if ("end" in parsed.data) end = parsed.data.end;
    yield parsed.data;
  }
  if (end?.shards !== count.shards || end.keys !== count.keys) throw otherForm(path);
}

const readBytes = 1 << 18;

/** The JSON values of the lines of a file. Memory is that of the longest line. */
function* valuesOf(path: string): Generator<unknown> {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const chunk = Buffer.alloc(readBytes);
    let rest = Buffer.alloc(0);
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      const bytes = Buffer.concat([rest, chunk.subarray(0, read)]);
      let start = 0;
      for (let end = bytes.indexOf(0x0a); end >= 0; start = end + 1, end = bytes.indexOf(0x0a, start))
        yield JSON.parse(bytes.toString("utf8", start, end)) as unknown;
      rest = bytes.subarray(start);
    }
    if (rest.length > 0) throw otherForm(path);
  } catch (error) {
    if (error instanceof SyntaxError) throw otherForm(path);
    throw isSystemError(error) ? systemError(error, { doing: "read the plan of a pipeline", place: path }) : error;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
