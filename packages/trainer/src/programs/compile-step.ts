import { type CompileOptions, compile, type Program } from "@lapidary/compiler";
import { type Graph, printGraph } from "@lapidary/ir";
import { ensure, LapidaryError, suggest } from "@lapidary/std";
import { compileOptions } from "@lapidary/training";
import type { ViewMachine } from "@lapidary/telemetry";
import type { Simulation } from "@lapidary/simulator";
import type { RecipeGraphs, RecipeRequest, StepRun } from "../recipes/recipe.js";
import { programsOf } from "../recipes/recipes.js";
import type { ProgramRequest } from "./program-request.js";
import { type CompiledRun, simulateOn, type StepFigures, stepFigures } from "./step-figures.js";

type CompilerOptions = Pick<CompileOptions, "verify" | "report">;

/** Compiles and times the programs of one request. Equal graphs are compiled once. */
export class ProgramCompiler {
  readonly #compiled: { readonly rules: string; readonly graph: Graph; readonly program: Program }[] = [];
  readonly #simulations = new Map<Program, Simulation>();

  constructor(
    private readonly request: ProgramRequest,
    private readonly options: CompilerOptions = {},
  ) {}

  /** @throws LapidaryError if the job does not fit: a batch that the mesh does not divide, rules that contradict one another */
  compile({ trace, rules }: RecipeGraphs["graphs"][string]): Program {
    const graph = trace();
    const key = JSON.stringify(rules ?? {});
    const known = this.#compiled.find((each) => each.rules === key && isEqualGraph(each.graph, graph));
    if (known !== undefined) return known.program;
    const options = compileOptions(this.request, graph);
    const program = compile(graph, { ...options, ...this.options, rules: { ...options.rules, ...rules } as typeof options.rules });
    this.#compiled.push({ rules: key, graph, program });
    return program;
  }

  simulate(program: Program, machine: ViewMachine): Simulation {
    const simulation = this.#simulations.get(program) ?? simulateOn(program, machine);
    this.#simulations.set(program, simulation);
    return simulation;
  }
}

export const isEqualGraph = (a: Graph, b: Graph): boolean => a.values.length === b.values.length && printGraph(a) === printGraph(b);

/** A variant of the programs, and the prediction for its step. */
export interface TimedVariant {
  /** The override of the job that decides for it. */
  readonly name: string;
  readonly request: RecipeRequest;
  readonly figures: StepFigures;
}

export interface TimedStep {
  /** The variant that a run compiles. */
  readonly chosen: TimedVariant;
  /** All variants. The recipe prefers the first. */
  readonly variants: readonly TimedVariant[];
  /** The variant that a job without a decision compiles: the fastest that fits, or the smallest if none fits. */
  readonly recommended: TimedVariant;
}

/** Times the step of a request, in all variants of its recipe. */
export function timeStep(request: ProgramRequest, machine: ViewMachine, compiler = new ProgramCompiler(request)): TimedStep {
  const recipe = programsOf(request);
  const given = recipe.variants?.(request) ?? [{ name: "", request, isGiven: true }];
  const variants = given.map(({ name, request: variant }): TimedVariant => {
    const graphs = recipe.graphs(variant);
    const figures = stepFigures(compiledRuns(recipe.stepProgram, graphs, compiler), graphs, machine, (program) =>
      compiler.simulate(program, machine),
    );
    return { name, request: variant, figures };
  });
  const recommended = variants.reduce((best, other) => (isBetter(other.figures, best.figures) ? other : best));
  const decided = given.findIndex(({ isGiven }) => isGiven);
  return { variants, recommended, chosen: variants[decided] ?? recommended };
}

const isBetter = (a: StepFigures, b: StepFigures): boolean =>
  a.fits === b.fits ? (a.fits ? a.seconds < b.seconds : a.hbmBytesPeak < b.hbmBytesPeak) : a.fits;

function compiledRuns(stepProgram: string, { graphs, step }: RecipeGraphs, compiler: ProgramCompiler): CompiledRun[] {
  const runs: readonly StepRun[] = step ?? [{ name: stepProgram, program: stepProgram, phase: "update", runs: 1 }];
  return runs.map((run) => ({ ...run, compiled: compiler.compile(ensure(graphs[run.program], run.program)) }));
}

/** The request with the decisions that it leaves to the timing of the programs. Without a machine, the first variants are taken. */
export function decideVariant(request: ProgramRequest, compiler: ProgramCompiler): ProgramRequest {
  const variants = programsOf(request).variants?.(request) ?? [];
  const decided = variants.find(({ isGiven }) => isGiven) ?? (request.machine === undefined ? variants[0] : undefined);
  if (decided !== undefined) return { ...request, ...decided.request };
  if (request.machine === undefined || variants.length === 0) return request;
  return { ...request, ...timeStep(request, request.machine, compiler).chosen.request };
}

/** @throws LapidaryError `LAP_PROGRAM_UNKNOWN` for a name that is not one of `known` */
export function unknownProgram(name: string, known: readonly string[]): LapidaryError {
  const near = suggest(name, known);
  return new LapidaryError({
    code: "LAP_PROGRAM_UNKNOWN",
    message: `the job has no program "${name}"`,
    location: "--program",
    remedy: `${near === undefined ? "" : `did you mean "${near}"? `}programs are ${known.join(", ")}`,
  });
}
