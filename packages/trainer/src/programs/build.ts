import type { Program } from "@lapidary/compiler";
import type { StateSpec } from "@lapidary/training";
import { makeProgramView } from "@lapidary/telemetry";
import type { ProgramView } from "@lapidary/api/program-view";
import { type ProgramText, programText } from "@lapidary/cluster";
import { ensure } from "@lapidary/std";
import { programsOf } from "../recipes/recipes.js";
import { decideVariant, ProgramCompiler } from "./compile-step.js";
import type { ProgramRequest } from "./program-request.js";
import { type ProgramFacts, programFacts } from "./facts.js";

/** An array of the state: its name in the programs, its role, and its weight. JSON. */
export type RunState = Pick<StateSpec, "name" | "role" | "weight" | "layers">;

export interface ProgramSet {
  /** By the names of the recipe. */
  readonly programs: Readonly<Record<string, ProgramText>>;
  /** The state between steps, in the order of the parameters of the programs. */
  readonly states: readonly RunState[];
  /** Whether the recipe has a controller of a user; absent if not. */
  readonly hasController?: boolean;
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
  const compiler = new ProgramCompiler(request);
  const decided = decideVariant(request, compiler);
  const recipe = programsOf(decided);
  const { graphs, states, frozen } = recipe.graphs(decided);
  const entries = Object.entries(graphs);
  const programs: Record<string, ProgramText> = {};
  let step: Program | undefined;
  for (const [done, [name, graph]] of entries.entries()) {
    const program = compiler.compile(graph);
    onProgress(done + 1, entries.length);
    programs[name] = programText(program.chip);
    if (name === recipe.stepProgram) step = program;
  }
  const updated = ensure(step, recipe.stepProgram);
  const runState = ({ name, role, weight, layers }: StateSpec): RunState => ({
    name,
    role,
    ...(weight === undefined ? {} : { weight }),
    ...(layers === undefined ? {} : { layers }),
  });
  return {
    programs,
    states: states.map(runState),
    ...(frozen.length === 0 ? {} : { frozen: frozen.map(runState) }),
    facts: programFacts(updated),
    ...(request.machine === undefined ? {} : { view: makeProgramView(updated, request.machine) }),
  };
}
