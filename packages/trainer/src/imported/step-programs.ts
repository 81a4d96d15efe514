import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { compile, type Program } from "@lapidary/compiler";
import { programText } from "@lapidary/cluster";
import type { ImportedStep } from "@lapidary/stablehlo";
import { ensure, isSystemError, LapidaryError, systemError } from "@lapidary/std";
import { makeProgramView, type ViewMachine } from "@lapidary/telemetry";
import { parseShard, type ResolvedStepJob } from "@lapidary/training";
import type { ProgramSet } from "../programs/build.js";
import { programFacts } from "../programs/facts.js";
import { compileImported } from "./compile-imported.js";
import { initialState } from "./initial-state.js";

/** Everything that decides the programs of an exported step, as JSON. */
export interface StepProgramRequest extends Pick<ResolvedStepJob, "step" | "mesh" | "shard" | "bucket_bytes" | "seed"> {
  readonly step_hash: string;
  readonly machine: ViewMachine;
}

/** The programs of an exported step, and what its arguments and results are. JSON. */
export interface StepProgramSet extends ProgramSet {
  readonly imported: Pick<ImportedStep, "arguments" | "results">;
}

/** The names of the programs. */
export const stepPrograms = { step: "step", init: "init" } as const;

export const hashOfText = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The text of a step. The first bytes of bytecode are returned as they are, so that the reader names them. */
export function readStepText(file: string, place: string): string {
  try {
    const bytes = readFileSync(file);
    const start = bytes.toString("latin1", 0, 4);
    return start === "ML\u00efR" ? start : bytes.toString("utf8");
  } catch (cause) {
    throw isSystemError(cause) ? systemError(cause, { doing: "read the step", place }) : cause;
  }
}

/**
 * Compiles the step and the program of its first state.
 *
 * @throws LAP_IMPORT_CHANGED if the text is not the one of the request
 */
export function buildStepPrograms(
  { step: file, step_hash, mesh: axes, shard, bucket_bytes: bucketBytes, seed, machine }: StepProgramRequest,
  onProgress: (done: number, total: number) => void = () => undefined,
): StepProgramSet {
  const text = readStepText(file, file);
  if (hashOfText(text) !== step_hash) throw changed(file);
  const mesh = Object.fromEntries(axes.map(({ name, size }) => [name, size]));
  const shardings = new Map(Object.entries(shard).map(([name, dims]) => [name, parseShard(dims)]));
  const { step, program } = compileImported(text, file, { mesh, shardings, bucketBytes });
  onProgress(1, 2);
  const states = step.results.flatMap(({ renews }) => (renews === undefined ? [] : [ensure(step.arguments[renews], "argument")]));
  const init = compileInitialState(program, states, seed);
  onProgress(2, 2);
  return {
    programs: { [stepPrograms.step]: programText(program.chip), [stepPrograms.init]: programText(init.chip) },
    states: states.map(({ name, role }) => ({ name, role: role === "param" ? "param" : "optimizer" })),
    facts: programFacts(program),
    view: makeProgramView(program, machine),
    imported: { arguments: step.arguments, results: step.results },
  };
}

/** The states have the shardings of the parameters of the step. */
function compileInitialState({ mesh, global }: Program, states: ImportedStep["arguments"], seed: number): Program {
  const shardings = new Map(global.values.map(({ name, sharding }) => [name, ensure(sharding, name)]));
  const constraints = new Map(states.map(({ name }) => [name, ensure(shardings.get(name), name)]));
  return compile(initialState(states, seed), {
    mesh,
    rules: {},
    zero: { stage: 0, axes: [] },
    constraints,
    open: new Map(),
    verify: false,
  });
}

const changed = (file: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_IMPORT_CHANGED",
    message: "the text of the step has changed since the run was launched",
    location: file,
    remedy: "restore the file, or launch a new run",
  });
