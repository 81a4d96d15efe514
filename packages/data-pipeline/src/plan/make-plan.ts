import { createHash } from "node:crypto";
import type { FileDigests } from "./digest-files.js";
import { objectKey } from "@lapidary/data-store";
import { asJson, ensure, type JsonValue } from "@lapidary/std";
import { defaultExpect, type Pipeline, settingsAs } from "../file/pipeline-file.js";
import type { Columns } from "../rules/parse-expression.js";
import { documentColumns } from "../stages/rules.js";
import type { SettingsOf, StageName } from "../stages/settings.js";
import type { Stage, Step } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";
import type { ViewKeys } from "../view/view.js";
import type { InputList, Plan, StageFile, StagePlan, Task } from "./plan.js";
import type { Shard } from "./shard.js";

/** A shard while its stages are planned. */
interface ShardState {
  readonly shard: Shard;
  /** The place among all shards. */
  readonly ordinal: number;
  view: ViewKeys;
  tokens: string | undefined;
  /** What the last task of the shard has, and the next one too if it has the same view: a plan has many tasks for each shard. */
  placed: PlacedView | undefined;
}

interface PlacedView {
  readonly shard: NonNullable<Task["shard"]>;
  readonly after: Task["after"];
}

const emptyView: ViewKeys = { documents: undefined, edits: [], columns: [] };

/** All tasks of a pipeline with their keys. Nothing is computed, and the store is not read. */
export function makePlan(pipeline: Pipeline, shards: readonly Shard[], digests: FileDigests): Plan {
  const states = shards.map((shard, ordinal): ShardState => ({ shard, ordinal, view: emptyView, tokens: undefined, placed: undefined }));
  const tasks: Task[] = [];
  const stages: StagePlan[] = [];
  const lists = new Map<string, readonly string[]>();
  let columns: Columns = documentColumns;
  const add = (stage: StageName, settingsOf: (source: string) => JsonValue, which: readonly ShardState[], expect: number): void => {
    const planned = planStage(stage, settingsOf, which, { index: stages.length, columns, digests, lists });
    tasks.push(...planned.tasks);
    const settings = settingsOf(which[0]?.shard.source ?? "");
    stages.push({ stage, settings, expect, columns: Object.fromEntries(columns), accounts: planned.accounts });
    columns = columnsAfter(stage, settings, columns);
  };
  const sourceOf = (name: string): Pipeline["sources"][string] | undefined => pipeline.sources[name];
  add("read", (name) => readSettings(sourceOf(name)), states, defaultExpect);
  const extracted = states.filter(({ shard }) => sourceOf(shard.source)?.extract !== undefined);
  if (extracted.length > 0) add("extract", (name) => sourceOf(name)?.extract ?? null, extracted, defaultExpect);
  for (const { stage, settings, expect } of pipeline.stages) add(stage, () => settings, states, expect);
  return { stages, tasks, lists, shards: states.map(({ shard, view, tokens }) => ({ shard, view, tokens })) };
}

const readSettings = (source: { readonly text?: string | undefined; readonly id?: string | undefined } | undefined): JsonValue => ({
  ...(source?.text === undefined ? {} : { text: source.text }),
  ...(source?.id === undefined ? {} : { id: source.id }),
});

const columnsAfter = <Name extends StageName>(name: Name, settings: JsonValue, before: Columns): Columns => {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  return stage.columns?.(settingsAs(name, settings), before) ?? before;
};

interface StageContext {
  readonly index: number;
  readonly columns: Columns;
  readonly digests: FileDigests;
  /** Gets the lists of the stage. */
  readonly lists: Map<string, readonly string[]>;
}

/** The settings of a stage for one source, once for all its tasks. */
interface SourceSettings {
  readonly settings: JsonValue;
  readonly files: readonly StageFile[];
  /** What the key has of the settings. */
  readonly config: JsonValue;
}

/** The objects that a step before wrote. */
interface Written {
  readonly list: string;
  readonly keys: readonly string[];
  /** How many parts each has. */
  readonly partitions: number;
}

function planStage<Name extends StageName>(
  name: Name,
  settingsOf: (source: string) => JsonValue,
  states: readonly ShardState[],
  { index: stageIndex, columns, digests, lists }: StageContext,
): { readonly tasks: readonly Task[]; readonly accounts: StagePlan["accounts"] } {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const shared = settingsAs(name, settingsOf(states[0]?.shard.source ?? ""));
  const bytes = states.reduce((sum, { shard }) => sum + shard.files.reduce((total, file) => total + file.bytes, 0), 0);
  const tasks: Task[] = [];
  let accounts: StagePlan["accounts"] = [];
  const sources = sourcesOf(states);
  const types = Object.fromEntries(columns);
  const ofSource = settingsBySource(name, settingsOf, digests);
  const writtenBy = new Map<string, Written>();
  let last: string | undefined;
  for (const [step, definition] of stage.steps(shared).entries()) {
    const names = (definition.shape === "gather" ? definition.reads : undefined) ?? (last === undefined ? [] : [last]);
    const reads = names.map((step): readonly [string, Written] => [step, ensure(writtenBy.get(step), `the step ${step} before`)]);
    const read = reads.map(([step, { list }]): InputList => ({ step, list }));
    for (const [, { list, keys }] of reads) lists.set(list, keys);
    const partitions = partitionsOf(definition, shared, bytes, reads[0]?.[1].partitions ?? 0);
    const keyOf = ({ config, files }: SourceSettings, inputs: readonly string[], extra: JsonValue): string =>
      objectKey({
        code: `${name}.${definition.name} ${definition.code}`,
        config: [config, files.map(({ sha256 }) => sha256), extra],
        inputs,
      });
    const made =
      definition.shape === "gather"
        ? Array.from({ length: partitions }, (_, partition): Task => {
            const own = ofSource(states[0]?.shard.source ?? "");
            const key = keyOf(own, listsOf(read), [partition, partitions, asJson(sources)]);
            return {
              stageIndex,
              stage: name,
              step,
              columns: types,
              key,
              settings: own.settings,
              files: own.files,
              partition,
              partitions,
              inputs: read,
              sources,
              after: [],
            };
          })
        : states.map((state, ordinal): Task => {
            const own = ofSource(state.shard.source);
            const inputs = definition.shape === "map" ? [] : read;
            const extra = asJson({ source: state.shard.source, partitions, ordinal: inputs.length > 0 ? ordinal : 0 });
            const key = keyOf(own, [...viewInputs(state), ...listsOf(inputs)], extra);
            const { shard, after } = placedView(state, ordinal);
            // V8 takes a quarter of the memory for an object that is written out, compared with one that spreads another.
            return {
              stageIndex,
              stage: name,
              step,
              columns: types,
              key,
              settings: own.settings,
              files: own.files,
              shard,
              partition: 0,
              partitions,
              inputs,
              sources,
              after,
            };
          });
    tasks.push(...made);
    if (definition.shape === "map" || definition.shape === "join") {
      for (const [i, state] of states.entries()) applyOutput(state, definition.writes, made[i]?.key ?? "");
      accounts = made.flatMap(({ key, shard }) =>
        shard === undefined ? [] : [{ source: shard.shard.source, shard: shard.shard.name, key, view: shard.view }],
      );
    }
    const keys = made.map(({ key }) => key);
    writtenBy.set(definition.name, { list: listKey(keys), keys, partitions });
    last = definition.name;
  }
  return { tasks, accounts };
}

function settingsBySource<Name extends StageName>(
  name: Name,
  settingsOf: (source: string) => JsonValue,
  digests: FileDigests,
): (source: string) => SourceSettings {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const known = new Map<string, SourceSettings>();
  return (source) => {
    const found = known.get(source);
    if (found !== undefined) return found;
    const settings = settingsOf(source);
    const files = (stage.files?.(settingsAs(name, settings)) ?? []).map((path) => ({ path, sha256: digests(path) }));
    const made = { settings, files, config: configOf(stage, settingsAs(name, settings)) };
    known.set(source, made);
    return made;
  };
}

/** @param ordinal the place of the shard in the stage */
function placedView(state: ShardState, ordinal: number): PlacedView {
  const { shard, view, placed } = state;
  if (placed?.shard.view === view && placed.shard.ordinal === ordinal) return placed;
  const after = [...(view.documents === undefined ? [] : [view.documents]), ...view.edits, ...view.columns];
  state.placed = { shard: { shard, ordinal, view }, after };
  return state.placed;
}

const listsOf = (inputs: readonly InputList[]): readonly string[] => inputs.map(({ list }) => list);

/** The key of the object that has a list of keys. */
function listKey(keys: readonly string[]): string {
  const hash = createHash("sha256");
  for (const key of keys) hash.update(key).update("\n");
  return objectKey({ code: "keys 1", config: null, inputs: [hash.digest("hex")] });
}

/** Shards of one source are consecutive. */
function sourcesOf(states: readonly ShardState[]): Task["sources"] {
  const sources: [string, number][] = [];
  for (const { shard } of states) {
    const last = sources.at(-1);
    if (last?.[0] === shard.source) last[1]++;
    else sources.push([shard.source, 1]);
  }
  return sources;
}

function partitionsOf<S>(step: Step<S>, settings: S, bytes: number, before: number): number {
  if (step.shape === "scatter") return step.partitions(settings, bytes);
  return step.shape === "gather" ? step.partitions(settings, before) : 1;
}

const configOf = <S>(stage: Stage<S>, settings: S): JsonValue => stage.config?.(settings) ?? (settings as JsonValue);

/** What a step on a shard depends on: its files for the first stage, else the objects of its view. */
function viewInputs({ shard, view }: ShardState): readonly string[] {
  if (view.documents !== undefined) return [view.documents, ...view.edits, ...view.columns];
  return shard.files.map(({ file, sha256, range }) => JSON.stringify([file, sha256, range?.line ?? 1]));
}

function applyOutput(state: ShardState, writes: "documents" | "columns" | "edits" | "tokens", key: string): void {
  const { view } = state;
  switch (writes) {
    case "documents":
      state.view = { documents: key, edits: [], columns: [] };
      return;
    case "edits":
      state.view = { ...view, edits: [...view.edits, key] };
      return;
    case "columns":
      state.view = { ...view, columns: [...view.columns, key] };
      return;
    case "tokens":
      state.tokens = key;
      return;
  }
}
