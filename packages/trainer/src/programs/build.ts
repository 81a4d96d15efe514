import { compile, type Program } from "@lapidary/compiler";
import { compileOptions, type ResolvedJob, type StateSpec } from "@lapidary/training";
import { type ViewMachine, makeProgramView } from "@lapidary/telemetry";
import type { ProgramView } from "@lapidary/api/program-view";
import { type ProgramText, programText } from "@lapidary/cluster";
import { ensure } from "@lapidary/std";
import type { RecipeRequest } from "../recipes/recipe.js";
import { recipeRequest } from "../recipes/recipe-request.js";
import { programsOf } from "../recipes/recipes.js";
import { type ProgramFacts, programFacts } from "./facts.js";

/** Everything that decides the programs of a run, as JSON. Its text is the key of the cache. */
export interface ProgramRequest
  extends RecipeRequest,
    Pick<ResolvedJob, "mesh" | "slice" | "rules" | "unapplied" | "zero" | "remat" | "bucket_bytes"> {
  /** The chip and pods for the timing of the step. Without it no view of the program is made. */
  readonly machine?: ViewMachine;
}

export function programRequest(job: ResolvedJob): ProgramRequest {
  const { mesh, slice, rules, unapplied, zero, remat, bucket_bytes } = job;
  return { mesh, slice, rules, ...(unapplied === undefined ? {} : { unapplied }), zero, remat, bucket_bytes, ...recipeRequest(job) };
}

/** An array of the state: its name in the programs, its role, and its weight. JSON. */
export type RunState = Pick<StateSpec, "name" | "role" | "weight">;

export interface ProgramSet {
  /** By the names of the recipe. */
  readonly programs: Readonly<Record<string, ProgramText>>;
  /** The state between steps, in the order of the parameters of the programs. */
  readonly states: readonly RunState[];
  /** Parameters that no step changes; absent if there are none. */
  readonly frozen?: readonly RunState[];
  readonly facts: ProgramFacts;
  /** Facts of the step program. */
  readonly view?: ProgramView;
}

/**
 * Traces and compiles every program of a run.
 *
 * An array of the state has the same sharding in all programs, because the sharding depends on its role and logical axes alone.
 *
 * @throws LapidaryError if the job does not fit: a batch that the mesh does not divide, rules that contradict one another
 */
export function buildPrograms(request: ProgramRequest, onProgress: (done: number, total: number) => void = () => undefined): ProgramSet {
  const recipe = programsOf(request);
  const { graphs, states, frozen } = recipe.graphs(request);
  const entries = Object.entries(graphs);
  const programs: Record<string, ProgramText> = {};
  let step: Program | undefined;
  for (const [done, [name, { trace, rules }]] of entries.entries()) {
    const graph = trace();
    const options = compileOptions(request, graph);
    const program = compile(graph, { ...options, rules: { ...options.rules, ...rules } as typeof options.rules });
    onProgress(done + 1, entries.length);
    programs[name] = programText(program.chip);
    if (name === recipe.stepProgram) step = program;
  }
  const updated = ensure(step, recipe.stepProgram);
  const runState = ({ name, role, weight }: StateSpec): RunState => ({ name, role, ...(weight === undefined ? {} : { weight }) });
  return {
    programs,
    states: states.map(runState),
    ...(frozen.length === 0 ? {} : { frozen: frozen.map(runState) }),
    facts: programFacts(updated),
    ...(request.machine === undefined ? {} : { view: makeProgramView(updated, request.machine) }),
  };
}
