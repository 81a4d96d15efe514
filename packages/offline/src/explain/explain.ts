import {
  type Alternative,
  type Program,
  type StageName,
  diffPrograms,
  costsOfAlternatives,
  type ExplainedStage,
  explainCollectives,
  explainStages,
  type ExplainedValue,
  explainValue,
  printSchedule,
} from "@lapidary/compiler";
import { type Graph, lossChunkCount, printGraph } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { parseTorus } from "@lapidary/topology";
import { viewMachine } from "@lapidary/telemetry";
import { compileJob, type CompileJobOptions, machineOf, programNames, rulesOf } from "@lapidary/trainer/recipes";
import { compileOptions, type ResolvedJob } from "@lapidary/training";
import { contextStrategies, type ContextStrategy } from "./context-strategies.js";
import type { Reporter } from "../reporter.js";

export type { ProgramDifference } from "@lapidary/compiler";
export { jobWarnings } from "@lapidary/training";

/** Stages whose text `stageText` prints, in order. */
export const printedStages = ["trace", "rematerialize", "propagate", "partition", "optimize", "schedule"] as const;
export type PrintedStage = (typeof printedStages)[number];

/** Which program of a job is explained. */
export interface ExplainOptions {
  /** The step program by default. */
  readonly program?: string | undefined;
  /** The project, whose chips time variants of the programs. Without it, the first variant is explained. */
  readonly root?: string;
}

/** @throws LapidaryError `LAP_PROGRAM_UNKNOWN` */
const compileProgram = (job: ResolvedJob, { program, root }: ExplainOptions, options: Pick<CompileJobOptions, "report"> = {}): Program =>
  compileJob(job, { ...options, program, ...(root === undefined ? {} : { machine: viewMachine(job, root) }) });

/** A program of a job after a stage of the compiler. */
export function stageText(job: ResolvedJob, stage: PrintedStage, options: ExplainOptions = {}): string {
  const graphs = new Map<StageName, Graph>();
  const program = compileProgram(job, options, { report: (name, graph) => graphs.set(name, graph) });
  return stage === "schedule" ? printSchedule(program.chip, program.schedule) : printGraph(ensure(graphs.get(stage), stage));
}

/** Shardings and collectives in which programs of two jobs differ. */
export const compareJobs = (a: ResolvedJob, b: ResolvedJob, options: ExplainOptions = {}): ReturnType<typeof diffPrograms> =>
  diffPrograms(compileProgram(a, options), compileProgram(b, options));

export interface ExplainedProgram {
  /** Pieces of the sequence in which the loss is computed. */
  readonly lossChunks: number;
  readonly collectives: ReturnType<typeof explainCollectives>;
  /** What each stage of a pipeline waits for, and in how many ticks it is idle; empty without stages. */
  readonly stages: readonly ExplainedStage[];
  /** How many claims of an axis lost to another claim. */
  readonly conflicts: number;
  /** The name of a value for which an explanation is useful. */
  readonly exampleName: string;
  /** The name of the explained program, and the names of all programs of the job. */
  readonly program: string;
  readonly programs: readonly string[];
  /** What each strategy of context parallelism would cost the step; empty if nothing splits the sequence. */
  readonly contextStrategies: readonly ContextStrategy[];
}

/** The collectives of a program of a job and their causes. */
export function explainJob(job: ResolvedJob, options: ExplainOptions = {}): ExplainedProgram {
  const program = compileProgram(job, options);
  const programs = programNames(job);
  return {
    program: options.program ?? ensure(programs[0], "step program"),
    programs,
    lossChunks: lossChunkCount(program.global),
    collectives: explainCollectives(program),
    stages: explainStages(program),
    conflicts: program.propagated.conflicts.length,
    exampleName: exampleName(program),
    contextStrategies:
      options.program === undefined || options.program === programs[0]
        ? contextStrategies(job, options.root === undefined ? undefined : machineOf(job, options.root))
        : [],
  };
}

const exampleName = (program: Program): string =>
  program.global.values.find((v) => v.op === "parameter" && v.role === "param" && v.type.dims.length > 1)?.name ?? "loss";

/** Bytes that a chip sends in a step with each alternative; null if no program has it. */
export type CostedValue = Omit<ExplainedValue, "alternatives"> & {
  readonly alternatives: readonly (Alternative & { readonly step_bytes_per_chip: number | null })[];
};

/** One value of a program: its layout, what decided it, and the other possible shardings with their cost. */
export function explainJobValue(
  job: ResolvedJob,
  name: string,
  reporter: Pick<Reporter, "detail">,
  options: ExplainOptions = {},
): CostedValue {
  const program = compileProgram(job, options);
  const explained = explainValue(program, name, parseTorus(job.slice).dims);
  reporter.detail(`compile with ${explained.alternatives.length - 1} other shardings of ${explained.name}`);
  const compiler = compileOptions(job, program.global);
  const rules = { ...compiler.rules, ...rulesOf(job, options.program) } as typeof compiler.rules;
  const costs = costsOfAlternatives(program, { ...compiler, rules }, name);
  return {
    ...explained,
    alternatives: explained.alternatives.map((a) => ({ ...a, step_bytes_per_chip: costs.get(a.sharding) ?? null })),
  };
}
