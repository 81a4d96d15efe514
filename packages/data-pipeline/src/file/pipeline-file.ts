import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isS3 } from "@lapidary/data-store";
import { isSystemError, type JsonValue, LapidaryError, systemError } from "@lapidary/std";
import { z } from "zod";
import type { Columns } from "../rules/parse-expression.js";
import { documentColumns } from "../stages/rules.js";
import { type ListedStage, listedStages, type SettingsOf } from "../stages/settings.js";
import type { Stage } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";
import { amount, share } from "./amounts.js";
import { schemaError, unknownKey } from "./schema-error.js";
import { pipelineError, YamlText } from "./yaml-text.js";

const source = z.strictObject({
  /** Files, or patterns of files. */
  read: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
  licence: z.string().min(1),
  extract: z.enum(["main-text"]).optional(),
  /** The field or column of the text, and of the identifier. */
  text: z.string().min(1).optional(),
  id: z.string().min(1).optional(),
  damaged: z.enum(["accept", "error"]).default("error"),
});

const pipeline = z.strictObject({
  sources: z.record(z.string().regex(/^[A-Za-z][\w-]*$/, "a name has letters, digits, _ and -"), source),
  stages: z.array(z.record(z.string(), z.unknown())).min(1),
  out: z.string().min(1),
  /** Where the outputs of stages are: a directory, or `s3://bucket/prefix`. Default: `out`. */
  store: z.string().min(1).optional(),
  /** Bytes of the files of a shard. */
  shard: amount.default(128e6),
});

export type SourceSettings = z.output<typeof source>;

/** A stage of the list `stages`, or one pass of it. */
interface StageItem {
  /** The place in the list. */
  readonly item: number;
  readonly stage: ListedStage;
  /** Checked, with absolute paths. */
  readonly settings: JsonValue;
  /** The largest share of its documents that the stage may drop. */
  readonly expect: number;
}

/** A pipeline file without mistakes. */
export interface Pipeline {
  /** Absolute path. */
  readonly file: string;
  readonly sources: Readonly<Record<string, SourceSettings>>;
  readonly stages: readonly StageItem[];
  /** Absolute path. */
  readonly out: string;
  /** Absolute path or `s3://bucket/prefix`. */
  readonly store: string;
  readonly shardBytes: number;
  /** `file:line:column` of a key. */
  readonly locationOf: (path: readonly PropertyKey[]) => string;
}

export const defaultExpect = 0.6;

/**
 * Reads a pipeline file. Relative paths begin at its directory.
 *
 * @throws LapidaryError LAP_DATA_PIPELINE, LAP_DATA_RULE, LAP_FILE_…
 */
export function readPipeline(file: string): Pipeline {
  try {
    return parsePipeline(readFileSync(file, "utf8"), file);
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read a pipeline file", place: file }) : error;
  }
}

/** @param file absolute path */
export function parsePipeline(text: string, file: string): Pipeline {
  const yaml = new YamlText(text, file);
  const parsed = pipeline.safeParse(yaml.value, { reportInput: true });
  if (!parsed.success) throw schemaError(parsed.error, pipeline, yaml);
  const { sources, stages: items, out, store, shard } = parsed.data;
  if (Object.keys(sources).length === 0) throw pipelineError("no source", yaml.locationOf(["sources"]), "name at least one source");
  const directory = dirname(file);
  let columns: Columns = documentColumns;
  const stages = items.flatMap((item, index) => {
    const read = readItem(item, index, columns, yaml, directory);
    columns = read.columns;
    return read.items;
  });
  const last = stages.find(({ stage }) => stage === "tokenize")?.item ?? items.length;
  if (last < items.length - 1)
    throw pipelineError("a stage after tokenize has no effect", yaml.locationOf(["stages", last + 1]), "move tokenize to the end");
  return {
    file,
    sources: Object.fromEntries(Object.entries(sources).sort(([a], [b]) => (a < b ? -1 : 1))),
    stages,
    out: resolve(directory, out),
    store: storeLocation(directory, store ?? out),
    shardBytes: shard,
    locationOf: (path) => yaml.locationOf(path),
  };
}

/**
 * The location of a store: an absolute path, or an address.
 *
 * @throws LapidaryError LAP_DATA_PIPELINE if it is an address of another kind
 */
export function storeLocation(directory: string, named: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(named)?.[1];
  if (scheme !== undefined && scheme !== "s3")
    throw pipelineError(`${named} is not an address of a store`, named, "write a directory or `s3://bucket/prefix`");
  return isS3(named) ? named.replace(/\/+$/, "") : resolve(directory, named);
}

function readItem(
  item: Readonly<Record<string, unknown>>,
  index: number,
  before: Columns,
  yaml: YamlText,
  directory: string,
): { readonly items: readonly StageItem[]; readonly columns: Columns } {
  const path = ["stages", index];
  const keys = Object.keys(item).filter((key) => key !== "expect");
  const unknown = keys.find((key) => !isListed(key));
  if (unknown !== undefined) throw unknownKey(unknown, [...listedStages, "expect"], "stages", yaml.locationOf([...path, unknown]));
  const [name] = keys.filter(isListed);
  if (name === undefined || keys.length > 1)
    throw pipelineError("an item of stages has exactly one stage", yaml.locationOf(path), "write `- ` before each stage");
  const expect = share.default(defaultExpect).safeParse(item["expect"]);
  if (!expect.success) throw schemaError(expect.error, share, yaml, [...path, "expect"]);
  const read = readSettings(name, item[name], before, yaml, [...path, name], directory);
  const items = passesOf(name, read.settings).map((settings) => ({ item: index, stage: name, settings, expect: expect.data }));
  return { items, columns: read.columns };
}

function passesOf<Name extends ListedStage>(name: Name, settings: JsonValue): readonly JsonValue[] {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const passes = stage.passes?.(settingsAs(name, settings));
  return passes === undefined ? [settings] : (passes as readonly unknown[] as readonly JsonValue[]);
}

const isListed = (key: string): key is ListedStage => (listedStages as readonly string[]).includes(key);

function readSettings<Name extends ListedStage>(
  name: Name,
  value: unknown,
  before: Columns,
  yaml: YamlText,
  path: readonly PropertyKey[],
  directory: string,
): { readonly settings: JsonValue; readonly columns: Columns } {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  const parsed = stage.settings.safeParse(value, { reportInput: true });
  if (!parsed.success) throw schemaError(parsed.error, stage.settings, yaml, path);
  const settings = stage.located?.(parsed.data, (relative) => resolve(directory, relative)) ?? parsed.data;
  try {
    const columns = stage.columns?.(settings, before) ?? before;
    return { settings: settings as JsonValue, columns };
  } catch (error) {
    if (!(error instanceof LapidaryError) || error.code !== "LAP_DATA_RULE") throw error;
    const rule = error.location?.split(".").slice(1).join(".") ?? "";
    throw error.with({ location: yaml.locationOf([...path, rule]), cause: undefined });
  }
}

/** The settings of a stage of a task or a pipeline, typed. They were checked when the file was read. */
export const settingsAs = <Name extends keyof SettingsOf>(_stage: Name, settings: JsonValue): SettingsOf[Name] =>
  settings as unknown as SettingsOf[Name];
