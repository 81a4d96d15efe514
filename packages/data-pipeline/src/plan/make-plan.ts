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
import type { Plan, StageFile, StagePlan, Task } from "./plan.js";
import type { Shard } from "./shard.js";

/** A shard while its stages are planned. */
interface ShardState {
  readonly shard: Shard;
  /** The place among all shards. */
  readonly ordinal: number;
  view: ViewKeys;
  tokens: string | undefined;
}

const emptyView: ViewKeys = { documents: undefined, edits: [], columns: [] };

/** All tasks of a pipeline with their keys. Nothing is computed, and the store is not read. */
export function makePlan(pipeline: Pipeline, shards: readonly Shard[], digests: FileDigests): Plan {
  const states = shards.map((shard, ordinal): ShardState => ({ shard, ordinal, view: emptyView, tokens: undefined }));
  const tasks: Task[] = [];
  const stages: StagePlan[] = [];
  let columns: Columns = documentColumns;
  const add = (stage: StageName, settingsOf: (source: string) => JsonValue, which: readonly ShardState[], expect: number): void => {
    const planned = planStage(stage, settingsOf, which, { index: stages.length, columns, digests });
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
  return { stages, tasks, shards: states.map(({ shard, view, tokens }) => ({ shard, view, tokens })) };
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
}

/** The objects that the step before wrote. */
interface Written {
  readonly keys: readonly string[];
  /** How many parts each has. */
  readonly partitions: number;
}

function planStage<Name extends StageName>(
  name: Name,
  settingsOf: (source: string) => JsonValue,
  states: readonly ShardState[],
  { index, columns, digests }: StageContext,
): { readonly tasks: readonly Task[]; readonly accounts: StagePlan["accounts"] } {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const shared = settingsAs(name, settingsOf(states[0]?.shard.source ?? ""));
  const bytes = states.reduce((sum, { shard }) => sum + shard.files.reduce((total, file) => total + file.bytes, 0), 0);
  const tasks: Task[] = [];
  let accounts: StagePlan["accounts"] = [];
  const sources = states.map(({ shard }) => shard.source);
  const writtenBy = new Map<string, Written>();
  let last: string | undefined;
  for (const [step, definition] of stage.steps(shared).entries()) {
    const read = (definition.shape === "gather" ? definition.reads : undefined) ?? (last === undefined ? [] : [last]);
    const reads = read.map((step): readonly [string, Written] => [step, ensure(writtenBy.get(step), `the step ${step} before`)]);
    const inputKeys = reads.flatMap(([, { keys }]) => keys);
    const inputSteps = reads.map(([step, { keys }]): [string, number] => [step, keys.length]);
    const partitions = partitionsOf(definition, shared, bytes, reads[0]?.[1].partitions ?? 0);
    const settingsFor = (state: ShardState | undefined): JsonValue => settingsOf(state?.shard.source ?? "");
    const base = { stageIndex: index, stage: name, step, columns: Object.fromEntries(columns) };
    const filesOf = (settings: JsonValue): readonly StageFile[] =>
      (stage.files?.(settingsAs(name, settings)) ?? []).map((path) => ({ path, sha256: digests(path) }));
    const keyOf = (settings: JsonValue, inputs: readonly string[], extra: JsonValue): string =>
      objectKey({
        code: `${name}.${definition.name} ${definition.code}`,
        config: [configOf(stage, settingsAs(name, settings)), filesOf(settings).map(({ sha256 }) => sha256), extra],
        inputs,
      });
    const made =
      definition.shape === "gather"
        ? Array.from({ length: partitions }, (_, partition): Task => {
            const settings = settingsFor(states[0]);
            const key = keyOf(settings, inputKeys, [partition, partitions, sources]);
            const files = filesOf(settings);
            const inputs = { inputs: inputKeys, inputSteps, inputSources: sources, after: inputKeys };
            return { ...base, key, settings, files, partition, partitions, ...inputs };
          })
        : states.map((state, ordinal): Task => {
            const settings = settingsFor(state);
            const inputs = definition.shape === "map" ? [] : inputKeys;
            const before = viewInputs(state);
            const extra = asJson({ source: state.shard.source, partitions, ordinal: inputs.length > 0 ? ordinal : 0 });
            const key = keyOf(settings, [...before, ...inputs], extra);
            const { documents, edits, columns: tables } = state.view;
            const after = [...(documents === undefined ? [] : [documents]), ...edits, ...tables, ...inputs];
            const shard = { shard: state.shard, ordinal, view: state.view };
            return {
              ...base,
              key,
              settings,
              files: filesOf(settings),
              shard,
              partition: 0,
              partitions,
              inputs,
              inputSteps,
              inputSources: sources,
              after,
            };
          });
    tasks.push(...made);
    if (definition.shape === "map" || definition.shape === "join") {
      for (const [i, state] of states.entries()) applyOutput(state, definition.writes, made[i]?.key ?? "");
      accounts = made.map(({ key, shard }) => ({ source: shard?.shard.source ?? "", shard: shard?.shard.name ?? "", key }));
    }
    writtenBy.set(definition.name, { keys: made.map(({ key }) => key), partitions });
    last = definition.name;
  }
  return { tasks, accounts };
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
