import type { Program } from "@lapidary/compiler";
import { i32Array, f32Array, type XlaExport } from "@lapidary/interop";
import { MixtureDataset, type PrepareWork, prepareMixture, prepareRows, type RowDataset } from "@lapidary/data";
import { ensure, LapidaryError } from "@lapidary/std";
import { compileJob, loadRecipe, statesOfJob } from "@lapidary/trainer/recipes";
import { givenTokenizer, mixtureRequestOf, isRecipePath, type ResolvedJob, rowsRequestOf, type StateSpec } from "@lapidary/training";

/** The most bytes of rows that an export has. */
const maxRowBytes = 1 << 28;

/**
 * Checks that XLA can run the steps of a job alone: one program on one batch, which returns all states that it takes.
 *
 * @throws LAP_CONFIG_VALUE
 */
export async function checkExportable(job: ResolvedJob, locationOf: (path: readonly string[]) => string): Promise<void> {
  const { recipe, lora, sets } = job;
  const refuse = (key: string, message: string, remedy: string): LapidaryError =>
    new LapidaryError({ code: "LAP_CONFIG_VALUE", message, location: locationOf([key]), remedy });
  const remedy = "export a job of the recipe pretrain or sft; `lapidary explain` and `lapidary plan` read jobs of every recipe";
  if (lora !== undefined) throw refuse("lora", "the export for XLA has no adapters", "remove lora to export the training of all weights");
  if (recipe === undefined || recipe === "sft") return;
  if (!isRecipePath(recipe)) throw refuse("recipe", `the export for XLA has no recipe ${recipe}`, remedy);
  if (sets !== undefined) throw refuse("sets", "the export for XLA has no frozen parameter sets", remedy);
  if (await loadRecipe(job)) throw refuse("recipe", "the export for XLA has no controller of a recipe", remedy);
}

/** The compiled step program of a job and its states. */
export const exportedProgram = (job: ResolvedJob): { readonly program: Program; readonly states: readonly StateSpec[] } => ({
  program: compileJob(job, { verify: false }),
  states: statesOfJob(job),
});

/** The rows of a job on examples. */
export const prepareExamples = (job: ResolvedJob, work: PrepareWork): Promise<RowDataset> =>
  prepareRows(rowsRequestOf(job, ensure(givenTokenizer(job.data, job.train), "the tokenizer of the checkpoint")), work);

/** The rows of a job over the sources of a pipeline. */
export const prepareSources = (job: ResolvedJob, work: PrepareWork): Promise<MixtureDataset> => prepareMixture(mixtureRequestOf(job), work);

/**
 * The batches of all steps of a job as arrays [steps, batch, seq]. If they have more than 256 MiB, the export has the first steps, and `run.py` repeats them.
 *
 * @returns the data of the export, and how many steps it has
 */
export function batchesOf(
  { seed, train: { steps, batch, seq } }: ResolvedJob,
  dataset: RowDataset | MixtureDataset,
): Extract<XlaExport["data"], { kind: "batches" }> {
  const size = batch * seq;
  const count = Math.max(1, Math.min(steps, Math.floor(maxRowBytes / (16 * size))));
  const total = count * size;
  const [tokens, targets, mask] = [new Int32Array(total), new Int32Array(total), new Float32Array(total)];
  const segments = dataset instanceof MixtureDataset ? undefined : new Int32Array(total);
  for (let step = 0; step < count; step++) {
    const made = dataset.batch({ split: "train", seed, step, batch, seq });
    tokens.set(made.tokens, step * size);
    targets.set(made.targets, step * size);
    segments?.set(ensure(made.segments, "segments"), step * size);
    mask.set(made.mask, step * size);
  }
  const dims = [count, batch, seq];
  const ints = Object.entries({ tokens, targets, ...(segments === undefined ? {} : { segments }) }).map(
    ([name, data]) => [name, i32Array(dims, data)] as const,
  );
  return { kind: "batches", steps: count, arrays: new Map([...ints, ["mask", f32Array(dims, mask)]]) };
}
