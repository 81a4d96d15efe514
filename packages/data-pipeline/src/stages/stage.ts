import type { AccountCounts } from "@lapidary/data-store";
import type { JsonValue } from "@lapidary/std";
import type { z } from "zod";
import type { ShardView } from "../view/view.js";

/**
 * A stage is a list of steps. Each step has one of four shapes:
 *
 *     map      one shard            → one object                                read, extract, measure, rules, redact, tokenize
 *     scatter  one shard            → records in P partitions: part-0 … part-P-1  signatures, windows, n-grams
 *     gather   part p of each input → one object of P' parts                    pairs, counts, components
 *     join     one shard and what the last gather wrote → edits                 remove, cut, annotate
 *
 * A scatter after a gather reads what the gather wrote, such as places to look at again. A gather reads what the step before it wrote: part p of the object of each shard after a scatter, and part p of the object
 * of each partition after another gather. Memory is bounded by one shard or one partition.
 */
export type Step<Settings> = MapStep<Settings> | ScatterStep<Settings> | GatherStep<Settings> | JoinStep<Settings>;

/**
 * The parts of an object in order, each as a stream of bytes; returns the account. A step whose bytes depend on anything
 * but its arguments, such as the time or the order of execution, is a mistake.
 */
export type StageOutput = AsyncGenerator<AsyncIterable<Uint8Array>, AccountCounts>;

/** What an object of a step has, which decides how a view uses it. */
export type OutputKind = "documents" | "columns" | "edits" | "tokens";

interface StepBase {
  readonly name: string;
  /** The version of the code. It is raised if the same inputs give other bytes. */
  readonly code: string;
}

interface MapStep<Settings> extends StepBase {
  readonly shape: "map";
  readonly writes: OutputKind;
  run(view: ShardView, settings: Settings): StageOutput;
}

interface ScatterStep<Settings> extends StepBase {
  readonly shape: "scatter";
  /** @param bytes of all texts that come in, so that a partition fits in memory */
  partitions(settings: Settings, bytes: number): number;
  /** @param shard the place of the shard among all shards */
  run(view: ShardView, inputs: GatherInputs, shard: number, settings: Settings, partitions: number): StageOutput;
}

/** The keys of the objects of the step before, or of the steps that it reads, in the order of shards or partitions; none for the first step. */
export interface GatherInputs {
  readonly objects: readonly string[];
  /** The objects of one of the steps that the step reads. */
  of(step: string): readonly string[];
  /** The bytes of a part of an object. Their digest is checked at the end. */
  read(object: string, partition: number): AsyncIterable<Buffer>;
  /** The source of each shard of the stage. */
  readonly sources: readonly string[];
  /** An empty directory on the disk of the store, for files that the step needs while it runs. */
  readonly scratch: string;
}

interface GatherStep<Settings> extends StepBase {
  readonly shape: "gather";
  /** The names of the steps whose objects it reads. Default: the step before. */
  readonly reads?: readonly string[] | undefined;
  /** How many gathers run; `before` is the number of partitions of the first step that it reads. Each reads its part of all inputs. */
  partitions(settings: Settings, before: number): number;
  run(inputs: GatherInputs, partition: number, partitions: number, settings: Settings): StageOutput;
}

interface JoinStep<Settings> extends StepBase {
  readonly shape: "join";
  readonly writes: "edits" | "columns" | "tokens";
  /** @param shard the place of the shard among all shards */
  run(view: ShardView, inputs: GatherInputs, shard: number, settings: Settings): StageOutput;
}

/** One stage: its settings in a pipeline file, and what it computes. */
export interface Stage<Settings> {
  /** Parses the settings, and reports unknown keys. */
  readonly settings: z.ZodType<Settings>;
  /** Files that the settings name. Their content is part of the key, their paths are not. */
  files?(settings: Settings): readonly string[];
  /** Reads the files once before anything is computed, so that an invalid file is an error of the whole run. Default: no check. */
  check?(settings: Settings): void;
  /** The settings with absolute paths. Default: no setting is a path. */
  located?(settings: Settings, resolvePath: (path: string) => string): Settings;
  /** What the key depends on apart from the content of the files. Default: all settings. Paths must not be part of it. */
  config?(settings: Settings): JsonValue;
  /**
   * Checks settings against the columns that are there before the stage, and returns the columns that it adds.
   *
   * @throws LapidaryError LAP_DATA_RULE
   */
  columns?(settings: Settings, before: ReadonlyMap<string, "number" | "text">): ReadonlyMap<string, "number" | "text">;
  /** The settings of each pass, if each is to see what the one before left. Default: one pass with all settings. */
  passes?(settings: Settings): readonly Settings[];
  steps(settings: Settings): readonly Step<Settings>[];
  /** Whether the stage exists to remove or change documents. `--check` fails if such a stage changed nothing. */
  readonly changes: boolean;
}
