import {
  type Alternative,
  type Program,
  type StageName,
  diffPrograms,
  costsOfAlternatives,
  explainCollectives,
  type ExplainedValue,
  explainValue,
  printSchedule,
} from "@lapidary/compiler";
import { type Graph, printGraph } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { parseTorus } from "@lapidary/topology";
import { compileJob } from "@lapidary/trainer/recipes";
import { compileOptions, lossChunksOf, type ResolvedJob } from "@lapidary/training";
import type { Reporter } from "../reporter.js";

export type { ProgramDifference } from "@lapidary/compiler";
export { jobWarnings } from "@lapidary/training";

/** Stages whose text `stageText` prints, in order. */
export const printedStages = ["trace", "rematerialize", "propagate", "partition", "optimize", "schedule"] as const;
export type PrintedStage = (typeof printedStages)[number];

/** The program of a job after a stage of the compiler. */
export function stageText(job: ResolvedJob, stage: PrintedStage): string {
  const graphs = new Map<StageName, Graph>();
  const program = compileJob(job, { report: (name, graph) => graphs.set(name, graph) });
  return stage === "schedule" ? printSchedule(program.chip, program.schedule) : printGraph(ensure(graphs.get(stage), stage));
}

/** Shardings and collectives in which the programs of two jobs differ. */
export const compareJobs = (a: ResolvedJob, b: ResolvedJob): ReturnType<typeof diffPrograms> => diffPrograms(compileJob(a), compileJob(b));

export interface ExplainedProgram {
  /** Pieces of the sequence in which the loss is computed. */
  readonly lossChunks: number;
  readonly collectives: ReturnType<typeof explainCollectives>;
  /** How many claims of an axis lost to another claim. */
  readonly conflicts: number;
  /** The name of a value for which an explanation is useful. */
  readonly exampleName: string;
}

/** The collectives of a job and their causes. */
export function explainJob(job: ResolvedJob): ExplainedProgram {
  const program = compileJob(job);
  return {
    lossChunks: lossChunksOf(job)?.count ?? 1,
    collectives: explainCollectives(program),
    conflicts: program.propagated.conflicts.length,
    exampleName: exampleName(program),
  };
}

const exampleName = (program: Program): string =>
  program.global.values.find((v) => v.op === "parameter" && v.role === "param" && v.type.dims.length > 1)?.name ?? "loss";

/** Bytes that a chip sends in a step with each alternative; null if no program has it. */
export type CostedValue = Omit<ExplainedValue, "alternatives"> & {
  readonly alternatives: readonly (Alternative & { readonly step_bytes_per_chip: number | null })[];
};

/** One value of a job: its layout, what decided it, and the other possible shardings with their cost. */
export function explainJobValue(job: ResolvedJob, name: string, reporter: Pick<Reporter, "detail">): CostedValue {
  const program = compileJob(job);
  const explained = explainValue(program, name, parseTorus(job.slice).dims);
  reporter.detail(`compile with ${explained.alternatives.length - 1} other shardings of ${explained.name}`);
  const costs = costsOfAlternatives(program, compileOptions(job, program.global), name);
  return {
    ...explained,
    alternatives: explained.alternatives.map((a) => ({ ...a, step_bytes_per_chip: costs.get(a.sharding) ?? null })),
  };
}
