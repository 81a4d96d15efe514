import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type AccountCounts, ObjectStore } from "@lapidary/data-store";
import { ensure } from "@lapidary/std";
import { parsePipeline } from "../file/pipeline-file.js";
import { digestFiles } from "../plan/digest-files.js";
import { FileIndex } from "../plan/file-index.js";
import { makePlan } from "../plan/make-plan.js";
import { makeShards } from "../plan/make-shards.js";
import type { Plan } from "../plan/plan.js";
import { type PlanFile, planFileOf } from "../result/plan-file.js";
import { storeInputLists } from "../run/input-lists.js";
import { runTask } from "../run/run-task.js";
import { openView, storedObject } from "../view/open-view.js";
import type { ViewDocument } from "../view/view.js";

export interface SmallDocument {
  readonly id: string;
  readonly text: string;
}

/** A file of a source → its documents. */
export type SmallCorpus = Readonly<Record<string, readonly SmallDocument[]>>;

export interface SmallResult {
  /** What stays, by the place in the corpus: `source/file` and id. */
  readonly kept: readonly (ViewDocument & { readonly source: string })[];
  /** Of the last stage, by source. */
  readonly accounts: readonly { readonly source: string; readonly account: AccountCounts }[];
  readonly plan: Plan;
  readonly planFile: PlanFile;
  readonly store: ObjectStore;
  readonly shards: number;
}

/**
 * Runs stages over a corpus in this process.
 *
 * @param corpus `source/file` → documents
 * @param stages YAML of the list
 */
export async function runSmall(directory: string, corpus: SmallCorpus, stages: string, shardBytes: number): Promise<SmallResult> {
  for (const [file, documents] of Object.entries(corpus)) {
    const path = join(directory, "in", file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, documents.map((document) => `${JSON.stringify(document)}\n`).join(""));
  }
  const sources = [...new Set(Object.keys(corpus).map((file) => file.split("/")[0] ?? ""))];
  const yaml = [
    "sources:",
    ...sources.map((source) => `  ${source}: { read: "./in/${source}/**/*.jsonl", licence: CC0-1.0 }`),
    `stages:\n${stages}`,
    "out: ./out",
    `shard: ${shardBytes}`,
  ].join("\n");
  const pipeline = parsePipeline(yaml, join(directory, "pipeline.yaml"));
  const shards = await makeShards(pipeline, new FileIndex(join(directory, "files.json")), () => undefined);
  const plan = makePlan(pipeline, shards, digestFiles(pipeline));
  const store = new ObjectStore(pipeline.out);
  await storeInputLists(store, plan);
  for (const task of plan.tasks) await runTask({ store, s3: undefined }, task, { setAside: [] });
  const kept: (ViewDocument & { readonly source: string })[] = [];
  for (const { shard, view } of plan.shards) {
    const opened = openView(store, { shard, keys: view, columns: new Map(), setAside: new Set() });
    for await (const document of opened.documents()) kept.push({ ...document, source: shard.source });
  }
  const { accounts: last } = ensure(plan.stages.at(-1), "a stage");
  const accounts = await Promise.all(last.map(async ({ source, key }) => ({ source, account: (await storedObject(store, key)).account })));
  return { kept, accounts, plan, planFile: planFileOf(pipeline, plan), store, shards: shards.length };
}
