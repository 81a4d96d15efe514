import type { MixtureDataset } from "@lapidary/data";
import type { ArrayData } from "@lapidary/protocol";
import type { StepArgument, StepResult } from "@lapidary/stablehlo";
import { ensure, LapidaryError } from "@lapidary/std";
import type { ResolvedStepJob } from "@lapidary/training";
import type { RunSteps } from "../execution/run-programs.js";
import type { RecipeRun, RecipeSteps, StepMetrics } from "../recipes/recipe.js";
import { drawnBatch } from "./drawn-batch.js";
import { rowArgumentsOf, rowArray } from "./pipeline-rows.js";
import type { StepArrays } from "./step-arrays.js";
import { type StepProgramSet, stepPrograms } from "./step-programs.js";

/** Where the arrays of a step come from. The rest is drawn from the seed. */
export interface StepInputs {
  /** Arrays of a file. */
  readonly arrays: StepArrays | undefined;
  /** Rows of a pipeline of training data. */
  readonly dataset: MixtureDataset | undefined;
}

/** An argument that is not state: the value of each step. Called in the order of steps, without waiting. */
type BatchOf = (batch: number) => ArrayData;

/** The steps of an exported program on one worker group. Scalar results are its metrics. */
async function openImportedSteps(
  run: RecipeRun,
  { imported, states }: Pick<StepProgramSet, "imported" | "states">,
  job: ResolvedStepJob,
  { arrays, dataset }: StepInputs,
): Promise<RecipeSteps> {
  const stateNames = new Set(states.map(({ name }) => name));
  const { scalars, loss } = scalarsOf(imported.results, job);
  const others = imported.arguments.filter(({ name }) => !stateNames.has(name));
  const { constants, batches } = await inputsOf(imported.arguments, others, job, { arrays, dataset });
  const program = await run.load(stepPrograms.step, {
    consumes: [...run.states, ...batches.keys()],
    creates: run.states,
    scalars: scalars.map(({ name }) => name),
  });
  for (const [name, array] of constants) await program.put(name, array);
  const tokens = tokensOf(others.filter(({ name }) => batches.has(name)));
  return {
    async step(step, batch, trace): Promise<StepMetrics> {
      const sent = [...batches].map(([name, of]) => program.put(name, of(batch)));
      const ran = program.run({ step, update: true, trace });
      const [report] = await Promise.all([ran, ...sent]);
      const value = (name: string): number => ensure(report.scalars.get(name), name);
      const more = Object.fromEntries(scalars.map((result) => [result.label, value(result.name)]));
      const { [normName]: grad_norm, [rateName]: learning_rate, ...rest } = more;
      const { [loss.label]: _, ...further } = rest;
      return {
        loss: value(loss.name),
        tokens_counted: tokens,
        ...(grad_norm === undefined ? {} : { grad_norm }),
        ...(learning_rate === undefined ? {} : { learning_rate }),
        ...(Object.keys(further).length === 0 ? {} : { more: further }),
      };
    },
    evaluate: () => Promise.reject(new Error("invariant broken: an exported step has no evaluation")),
    async initialize(): Promise<void> {
      if (arrays === undefined) return;
      for (const [index, argument] of imported.arguments.entries()) {
        const array = stateNames.has(argument.name) ? await arrays.initial(argument, index) : undefined;
        if (array !== undefined) await program.put(argument.name, array);
      }
    },
  };
}

/** Results of these names are columns of their own in the rows of metrics. */
const normName = "grad_norm";
const rateName = "learning_rate";

interface Scalar {
  readonly name: string;
  /** The last part of its name in the user's program: `loss` of `result[1]['loss']`. */
  readonly label: string;
}

/** The scalar results, and the one that is the loss. @throws LAP_IMPORT_INPUT if there is none */
export function scalarsOf(
  results: readonly StepResult[],
  { loss: wanted, step: file }: Pick<ResolvedStepJob, "loss" | "step">,
): { readonly scalars: readonly Scalar[]; readonly loss: Scalar } {
  const taken = new Set<string>();
  const scalars = results.flatMap(({ name, leaf, type, renews }) => {
    if (type.dims.length > 0 || renews !== undefined) return [];
    const short = /([\w-]+)\W*$/.exec(leaf)?.[1] ?? name;
    const label = taken.has(short) ? name : short;
    taken.add(label);
    return [{ name, label, isFloat: type.dtype === "f32" || type.dtype === "bf16" }];
  });
  const named = wanted ?? "loss";
  const found = scalars.find(({ name, label }) => name === named || label === named);
  const loss = found ?? (wanted === undefined ? scalars.find(({ isFloat }) => isFloat) : undefined);
  if (loss === undefined)
    throw new LapidaryError({
      code: "LAP_IMPORT_INPUT",
      message: wanted === undefined ? "the step has no scalar result, so its loss is unknown" : `the step has no scalar result "${wanted}"`,
      location: file,
      remedy:
        scalars.length === 0
          ? "return the loss from the step"
          : `give loss=NAME; scalar results are ${scalars.map(({ label }) => label).join(", ")}`,
    });
  return { scalars, loss };
}

/** Arguments that are the same in every step, and those of each step. Batches of a file are read now, so that a step sends them without waiting. */
async function inputsOf(
  all: readonly StepArgument[],
  others: readonly StepArgument[],
  job: ResolvedStepJob,
  { arrays, dataset }: StepInputs,
): Promise<{ readonly constants: ReadonlyMap<string, ArrayData>; readonly batches: ReadonlyMap<string, BatchOf> }> {
  const constants = new Map<string, ArrayData>();
  const batches = new Map<string, BatchOf>();
  const rows = rowArgumentsOf(all, job);
  for (const argument of others) {
    const field = rows?.fields.get(argument);
    if (rows !== undefined && field !== undefined && dataset !== undefined) {
      batches.set(argument.name, (batch) => rowArray(dataset, rows, argument, field, batch));
      continue;
    }
    const index = all.indexOf(argument);
    const { name } = argument;
    const read = arrays?.hasBatch(argument, index) === true ? await readBatches(arrays, argument, index) : undefined;
    const constant = read === undefined ? await arrays?.initial(argument, index) : undefined;
    if (read !== undefined) batches.set(name, (batch) => ensure(read[batch % read.length], name));
    else if (constant !== undefined) constants.set(name, constant);
    else {
      // A missing limit of integers is reported before the first step.
      drawnBatch(argument, 0, job);
      batches.set(name, (batch) => drawnBatch(argument, batch, job));
    }
  }
  return { constants, batches };
}

async function readBatches(arrays: StepArrays, argument: StepArgument, index: number): Promise<readonly ArrayData[]> {
  const read: ArrayData[] = [];
  for (let step = 0; step < arrays.batches; step++) {
    const array = await arrays.batch(step, argument, index);
    if (array === undefined)
      throw new LapidaryError({
        code: "LAP_IMPORT_INPUT",
        message: `step ${step} has no batch of ${argument.leaf}, and other steps have one`,
        location: arrays.path,
        remedy: `write batch/${step}/${argument.name}`,
      });
    read.push(array);
  }
  return read;
}

/** The integers of a batch, which are its tokens; or its rows, if it has no integers. */
function tokensOf(batch: readonly StepArgument[]): number {
  const sizes = batch.flatMap(({ type: { dtype, dims } }) => (dtype === "i32" && dims.length > 1 ? [dims.reduce((n, d) => n * d, 1)] : []));
  const rows = batch.flatMap(({ type: { dims } }) => dims[0] ?? []);
  return Math.max(0, ...(sizes.length > 0 ? sizes : rows));
}

/** What runs the programs of an exported step. */
export const importedSteps = (
  set: Pick<StepProgramSet, "imported" | "states">,
  job: ResolvedStepJob,
  inputs: StepInputs,
): Pick<RunSteps, "stepProgram" | "batchArrays" | "open"> => ({
  stepProgram: stepPrograms.step,
  batchArrays: [],
  open: (run) => openImportedSteps(run, set, job, inputs),
});

/** Tokens of a step: see `tokensOf`. */
export const tokensPerStep = ({ imported, states }: Pick<StepProgramSet, "imported" | "states">): number =>
  tokensOf(imported.arguments.filter(({ name }) => !states.some((state) => state.name === name)));
