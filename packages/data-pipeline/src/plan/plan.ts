import type { JsonValue } from "@lapidary/std";
import type { StageName } from "../stages/settings.js";
import type { ViewKeys } from "../view/view.js";
import type { Shard } from "./shard.js";

/** A file that the settings of a stage name, such as a tokenizer. */
export interface StageFile {
  /** Absolute path on the host of the planner. */
  readonly path: string;
  readonly sha256: string;
}

/**
 * All objects that a step wrote, in the order of shards or partitions. Each partition reads a part of each shard, so a plan whose tasks had the keys of
 * their inputs would grow with the square of the corpus. The keys are in the store instead, once for each step.
 */
export interface InputList {
  readonly step: string;
  /** The key of the object with the list: a JSON text a line. */
  readonly list: string;
}

/**
 * One object to compute. A task is JSON: an executor can send it to a child process or to another host. Its key says all
 * that its bytes depend on. Keys need no results, so a plan is made before anything is computed.
 */
export interface Task {
  readonly key: string;
  /** The place of the stage in the pipeline, from 0. */
  readonly stageIndex: number;
  readonly stage: StageName;
  /** The place of the step in its stage. */
  readonly step: number;
  readonly settings: JsonValue;
  /** The files that the settings name, with the content that the key depends on. */
  readonly files: readonly StageFile[];
  /** The columns that the stages before give, with their types. */
  readonly columns: Readonly<Record<string, "number" | "text">>;
  /** Of a map, scatter or join. */
  readonly shard?: { readonly shard: Shard; readonly ordinal: number; readonly view: ViewKeys } | undefined;
  /** Of a gather: which partition. */
  readonly partition: number;
  /** How many parts a scatter writes, and how many gathers a step has. */
  readonly partitions: number;
  /** The objects that other steps wrote and that the step reads. */
  readonly inputs: readonly InputList[];
  /** The sources of all shards of the stage, in order. */
  readonly sources: readonly (readonly [source: string, shards: number])[];
  /** The keys of its view, which must be in the store before the task runs, as well as all objects of its inputs. */
  readonly after: readonly string[];
}

export interface StagePlan {
  readonly stage: StageName;
  readonly settings: JsonValue;
  /** The columns that the stages before give, with their types. */
  readonly columns: Readonly<Record<string, "number" | "text">>;
  /** The share of its documents that it may drop. */
  readonly expect: number;
  /** The tasks whose accounts are those of the stage: one for each shard. */
  readonly accounts: readonly { readonly source: string; readonly shard: string; readonly key: string; readonly view: ViewKeys }[];
}

/** What a pipeline consists of. */
export interface Plan {
  readonly stages: readonly StagePlan[];
  /** In the order of their dependencies. */
  readonly tasks: readonly Task[];
  /** The keys of inputs, by the key of their list. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
  /** The view of each shard after the last stage, and its tokens. */
  readonly shards: readonly { readonly shard: Shard; readonly view: ViewKeys; readonly tokens: string | undefined }[];
}
