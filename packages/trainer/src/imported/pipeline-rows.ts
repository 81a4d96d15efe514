import type { MixtureDataset } from "@lapidary/data";
import { type ArrayData, arrayOf } from "@lapidary/protocol";
import type { StepArgument } from "@lapidary/stablehlo";
import { LapidaryError, suggest } from "@lapidary/std";
import { checkPipelineSources, type PipelineRows, type ResolvedStepJob, type RowField } from "@lapidary/training";

/** Arguments of a step that rows of a pipeline of training data fill. All have the dims [batch, seq]. */
export interface RowArguments {
  readonly fields: ReadonlyMap<StepArgument, RowField>;
  readonly batch: number;
  readonly seq: number;
}

/**
 * The arguments that `batch` of a job names, by name in the graph or in the user's program; undefined if it names none.
 *
 * @throws LAP_IMPORT_INPUT for an unknown name, another type or shape than rows have, or a missing pipeline
 */
export function rowArgumentsOf(
  args: readonly StepArgument[],
  { batch, data }: Pick<ResolvedStepJob, "batch" | "data">,
): RowArguments | undefined {
  const named = Object.entries(batch);
  const [key] = named[0] ?? [];
  if (key === undefined && data === undefined) return undefined;
  if (key === undefined) throw refuse("data", "data.pipeline needs the arguments that its rows fill", "give batch.NAME=tokens");
  if (data === undefined)
    throw refuse(`batch.${key}`, "batch needs the rows of a pipeline", "give data.pipeline=DIRECTORY, which `lapidary data run` wrote");
  const fields = new Map<StepArgument, RowField>();
  let dims: readonly number[] | undefined;
  for (const [name, field] of named) {
    const argument = args.find((each) => each.name === name || each.leaf === name);
    if (argument === undefined) throw unknown(name, args);
    const { type } = argument;
    const wanted = field === "mask" ? type.dtype === "f32" || type.dtype === "bf16" : type.dtype === "i32";
    if (!wanted || type.dims.length !== 2)
      throw refuse(
        `batch.${name}`,
        `the ${field} of rows are ${field === "mask" ? "f32" : "i32"}[batch, seq], and ${argument.leaf} is ${type.dtype}[${type.dims.join(",")}]`,
        "name another argument, or change the step",
      );
    if (dims !== undefined && dims.join() !== type.dims.join())
      throw refuse(
        `batch.${name}`,
        `${argument.leaf} has the dims [${type.dims.join(",")}], and others [${dims.join(",")}]`,
        "use arrays of equal dims",
      );
    dims = type.dims;
    fields.set(argument, field);
  }
  const [rows = 1, seq = 1] = dims ?? [];
  return { fields, batch: rows, seq };
}

/** What decides the rows of a job. @throws as `rowArgumentsOf` */
export function pipelineRowsOf(
  args: readonly StepArgument[],
  job: Pick<ResolvedStepJob, "batch" | "data" | "steps" | "seed">,
): PipelineRows | undefined {
  const found = rowArgumentsOf(args, job);
  const { data, steps, seed } = job;
  return found === undefined || data === undefined ? undefined : { data, train: { steps, batch: found.batch, seq: found.seq }, seed };
}

/** Checks the sources of a pipeline before the job waits. @throws LAP_DATA_…, LAP_MIXTURE_… */
export function checkRows(args: readonly StepArgument[], job: ResolvedStepJob): void {
  const rows = pipelineRowsOf(args, job);
  if (rows !== undefined) checkPipelineSources(rows);
}

/** The value of an argument in a step. */
export function rowArray(
  dataset: MixtureDataset,
  { batch, seq }: RowArguments,
  { type }: StepArgument,
  field: RowField,
  step: number,
): ArrayData {
  const rows = dataset.batch({ split: "train", seed: 0, step, batch, seq });
  return arrayOf(type.dtype, type.dims, rows[field]);
}

function unknown(name: string, args: readonly StepArgument[]): LapidaryError {
  const near = suggest(
    name,
    args.flatMap((argument) => [argument.name, argument.leaf]),
  );
  const batch = args.filter(({ role }) => role === "batch").map((argument) => argument.name);
  return refuse(
    `batch.${name}`,
    `the step has no argument "${name}"`,
    `${near === undefined ? "" : `did you mean "${near}"? `}The batch is ${batch.join(", ") || "empty"}`,
  );
}

const refuse = (location: string, message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_IMPORT_INPUT", message, location, remedy });
