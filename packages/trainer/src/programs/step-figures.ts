import type { Program } from "@lapidary/compiler";
import { parametersOf, type ValueOf } from "@lapidary/ir";
import { type Simulation, simulate, storedBytes, usableHbm } from "@lapidary/simulator";
import { ensure } from "@lapidary/std";
import type { ViewMachine } from "@lapidary/telemetry";
import { type RecipeGraphs, type StepPhase, stepPhases, type StepRun } from "../recipes/recipe.js";

/** Runs of a step with their program. */
export interface CompiledRun extends StepRun {
  readonly compiled: Program;
}

/** The prediction for the runs of a program in a step. */
export interface RunFigures {
  readonly run: CompiledRun;
  readonly simulation: Simulation;
  /** Bytes of a chip, by parameter set, of the arrays that are in its memory but are not arrays of the program. */
  readonly resident: ReadonlyMap<string, number>;
  /** The peak of the program and all other arrays in the memory of a chip. */
  readonly hbmBytesPeak: number;
}

/** The prediction for a step. */
export interface StepFigures {
  readonly runs: readonly RunFigures[];
  readonly seconds: number;
  readonly secondsOf: Readonly<Record<StepPhase, number>>;
  readonly hbmBytesPeak: number;
  readonly fits: boolean;
  /** Bytes of a chip by parameter set. `trained` and `optimizer` are the states. */
  readonly sets: ReadonlyMap<string, number>;
}

/** An array that is in the memory of a chip between programs. */
interface ResidentArray {
  readonly set: string;
  readonly bytes: number;
  /** The runs between which it exists: those after `from`, up to `to`. */
  readonly from: number;
  readonly to: number;
}

/** Times the programs of a step, and adds up the arrays that are in the memory of a chip while each runs. */
export function stepFigures(
  runs: readonly CompiledRun[],
  states: Pick<RecipeGraphs, "states" | "frozen">,
  machine: ViewMachine,
  simulateProgram: (program: Program) => Simulation = (program) => simulateOn(program, machine),
): StepFigures {
  const arrays = residentArrays(runs, states, machine);
  const figures = runs.map((run, at): RunFigures => {
    const own = new Set([...parametersOf(run.compiled.chip).map((value) => inputOf(run, value)), ...outputsOf(run)]);
    const resident = new Map<string, number>();
    for (const [name, { set, bytes, from, to }] of arrays)
      if (from < at && at <= to && !own.has(name)) resident.set(set, (resident.get(set) ?? 0) + bytes);
    const simulation = simulateProgram(run.compiled);
    const hbmBytesPeak = [...resident.values()].reduce((sum, bytes) => sum + bytes, simulation.memory.peakBytes);
    return { run, simulation, resident, hbmBytesPeak };
  });
  const secondsOf = Object.fromEntries(
    stepPhases.map((phase) => [
      phase,
      figures.reduce((sum, { run, simulation }) => sum + (run.phase === phase ? run.runs * simulation.stepSeconds : 0), 0),
    ]),
  ) as Record<StepPhase, number>;
  const sets = new Map<string, number>();
  for (const { set, bytes } of arrays.values()) sets.set(set, (sets.get(set) ?? 0) + bytes);
  const hbmBytesPeak = Math.max(...figures.map((run) => run.hbmBytesPeak));
  return {
    runs: figures,
    seconds: Object.values(secondsOf).reduce((a, b) => a + b, 0),
    secondsOf,
    hbmBytesPeak,
    fits: hbmBytesPeak <= usableHbm(machine.chip),
    sets,
  };
}

/** The prediction for one run of a program. @throws LapidaryError if the mesh of the program does not fit the machine */
export const simulateOn = (program: Program, { chip, slice, pods, compute }: ViewMachine): Simulation =>
  simulate(program, { chip, pods, torus: { dims: slice } }, { compute });

const inputOf = ({ inputs }: StepRun, { attrs: { name } }: ValueOf<"parameter">): string => inputs?.get(name) ?? name;
const outputsOf = ({ outputs, compiled }: CompiledRun): string[] => compiled.chip.outputs.map(({ name }) => outputs?.get(name) ?? name);

/** By name, the states, the weights of frozen sets, and the arrays that a run writes for a later one. */
function residentArrays(
  runs: readonly CompiledRun[],
  { states, frozen }: Pick<RecipeGraphs, "states" | "frozen">,
  { compute }: ViewMachine,
): ReadonlyMap<string, ResidentArray> {
  const setOfState = new Map<string, string>([
    ...frozen.map(({ name }) => [name, "frozen"] as const),
    ...states.map(({ name, role }) => [name, role === "param" ? "trained" : "optimizer"] as const),
  ]);
  const writtenBy = new Map<string, number>();
  const arrays = new Map<string, ResidentArray>();
  for (const [at, run] of runs.entries()) {
    for (const value of parametersOf(run.compiled.chip)) {
      const name = inputOf(run, value);
      const isWeight = value.role === "param" || value.role === "optimizer";
      const from = setOfState.has(name) ? undefined : writtenBy.get(name);
      if (from === undefined && !isWeight) continue;
      const set = setOfState.get(name) ?? setOfArray(name);
      arrays.set(name, { set, bytes: storedBytes(value, compute), from: from ?? -1, to: from === undefined ? runs.length : at });
    }
    for (const name of outputsOf(run)) if (!writtenBy.has(name)) writtenBy.set(name, at);
  }
  return arrays;
}

/** `reference/params/NAME` belongs to the set `reference`, `cache/keys.0` to the set `cache`. */
function setOfArray(name: string): string {
  const at = name.indexOf("/params/");
  if (at >= 0) return name.slice(0, at);
  return name.includes("/") ? ensure(name.split("/")[0], "set") : "rows";
}
