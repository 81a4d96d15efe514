import { existsSync } from "node:fs";
import type { CompileOptions, Program } from "@lapidary/compiler";
import { ensure } from "@lapidary/std";
import type { ViewMachine } from "@lapidary/telemetry";
import { givenTokenizer, type ResolvedJob, type StateSpec } from "@lapidary/training";
import { decideVariant, isEqualGraph, ProgramCompiler, type TimedStep, timeStep, unknownProgram } from "../programs/compile-step.js";
import { type ProgramRequest, programRequest } from "../programs/program-request.js";
import { readStopRule } from "./completion-text.js";
import type { RecipeGraphs } from "./recipe.js";
import { recipeRequest } from "./recipe-request.js";
import { programsOf } from "./recipes.js";

export interface CompileJobOptions extends Pick<CompileOptions, "verify" | "report"> {
  /** The name of a program of the job. The step program by default. */
  readonly program?: string | undefined;
  /** The machine on which variants of the programs are timed, if the job does not decide between them. */
  readonly machine?: ViewMachine;
}

/** The compiled step program of a job, or another of its programs, as workers run it, `explain` explains it and `plan` predicts its time. */
export function compileJob(job: ResolvedJob, { program, machine, ...options }: CompileJobOptions = {}): Program {
  const request = requestOf(job, machine);
  const { stepProgram } = programsOf(job);
  return new ProgramCompiler(request, options).compile(graphOf(request, program ?? stepProgram));
}

/** The prediction for a step of a job, with all its programs. */
export const timeJob = (job: ResolvedJob, machine: ViewMachine): TimedStep => {
  const request = requestOf(job, machine);
  return timeStep(request, machine, new ProgramCompiler(request, { verify: false }));
};

/** The states of a job: what its step program takes and returns. */
export const statesOfJob = (job: ResolvedJob): readonly StateSpec[] => programsOf(job).graphs(recipeRequest(job)).states;

/** The names of the programs of a job: the step program first. */
export function programNames(job: ResolvedJob): readonly string[] {
  return namesIn(programsOf(job).stepProgram, graphsOfVariants(requestOf(job)));
}

/** The rules of logical axes that a program of a job changes. */
export const rulesOf = (job: ResolvedJob, program = programsOf(job).stepProgram): NonNullable<RecipeGraphs["graphs"][string]["rules"]> =>
  graphsOfVariants(requestOf(job)).find(({ graphs }) => graphs[program] !== undefined)?.graphs[program]?.rules ?? {};

/** Whether a step of a job is one run of its step program. */
export const hasOneRun = (job: ResolvedJob): boolean => {
  const { step = [] } = ensure(graphsOfVariants(requestOf(job))[0], "variant");
  return step.length <= 1 && (step[0]?.runs ?? 1) === 1;
};

const namesIn = (stepProgram: string, variants: readonly RecipeGraphs[]): string[] => [
  ...new Set([stepProgram, ...variants.flatMap(({ graphs }) => Object.keys(graphs))]),
];

/** A file of a tokenizer that does not exist yet decides no shape and no sharding. */
function requestOf(job: ResolvedJob, machine?: ViewMachine): ProgramRequest {
  const tokenizer = job.recipe === "rl" ? givenTokenizer(job.data, job.train) : undefined;
  const stop = tokenizer === undefined || !existsSync(tokenizer) ? {} : { stop: readStopRule(tokenizer) };
  return { ...programRequest(job), ...stop, ...(machine === undefined ? {} : { machine }) };
}

const graphsOfVariants = (request: ProgramRequest): RecipeGraphs[] => {
  const recipe = programsOf(request);
  return (recipe.variants?.(request) ?? [{ request }]).map((variant) => recipe.graphs(variant.request));
};

/** The graph of a program in the variant that a run compiles, or in another variant if only that one has it. */
function graphOf(request: ProgramRequest, name: string): RecipeGraphs["graphs"][string] {
  const recipe = programsOf(request);
  const all = graphsOfVariants(request);
  const named = all.flatMap(({ graphs }) => graphs[name] ?? []);
  if (named.length === 0) throw unknownProgram(name, namesIn(recipe.stepProgram, all));
  const first = ensure(named[0], name);
  if (named.length === all.length && isTracedEqually(named)) return first;
  const decided = decideVariant(request, new ProgramCompiler(request, { verify: false }));
  return recipe.graphs(decided).graphs[name] ?? first;
}

/** Whether all graphs are equal. One graph is not traced. */
function isTracedEqually([first, ...others]: readonly RecipeGraphs["graphs"][string][]): boolean {
  if (first === undefined || others.length === 0) return true;
  const graph = first.trace();
  return others.every(({ trace }) => isEqualGraph(graph, trace()));
}
