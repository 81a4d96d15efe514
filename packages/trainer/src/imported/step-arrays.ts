import { SafetensorsFile } from "@lapidary/interop";
import { type Dtype, sameDims } from "@lapidary/ir";
import { type ArrayData, arrayOf } from "@lapidary/protocol";
import type { StepArgument } from "@lapidary/stablehlo";
import { LapidaryError } from "@lapidary/std";

/**
 * The arrays of a step in a safetensors file:
 *
 *     in/KEY           the first value of an argument
 *     batch/STEP/KEY   its value in a step, from 0
 *
 * KEY is the number of the argument, its name in the graph, or its name in the user's program.
 */
export class StepArrays {
  readonly #file: SafetensorsFile;
  readonly #names: ReadonlySet<string>;
  /** Steps with a batch. Later steps use them again, from the first on. */
  readonly batches: number;

  private constructor(file: SafetensorsFile) {
    this.#file = file;
    this.#names = new Set(file.names);
    const steps = file.names.flatMap((name) => /^batch\/(\d{1,9})\//.exec(name)?.[1] ?? []).map(Number);
    this.batches = steps.reduce((most, step) => Math.max(most, step + 1), 0);
  }

  /** @throws LapidaryError if the file is missing or damaged */
  static async open(path: string): Promise<StepArrays> {
    return new StepArrays(await SafetensorsFile.open(path));
  }

  get path(): string {
    return this.#file.path;
  }

  /** The first value of an argument; undefined if the file has none. */
  initial(argument: StepArgument, index: number): Promise<ArrayData | undefined> {
    return this.#read(argument, index, "in/");
  }

  /** The value of an argument in a step; undefined if the file has no batches of it. */
  async batch(step: number, argument: StepArgument, index: number): Promise<ArrayData | undefined> {
    return this.batches === 0 ? undefined : this.#read(argument, index, `batch/${step % this.batches}/`);
  }

  /** Whether the file has a value of the argument for a step. */
  hasBatch(argument: StepArgument, index: number): boolean {
    return this.batches > 0 && this.#nameOf(argument, index, "batch/0/") !== undefined;
  }

  /** The result of the last step that the file has, by its number. */
  async expected(result: number, dtype: Dtype, dims: readonly number[]): Promise<ArrayData | undefined> {
    const name = `out/${result}`;
    return this.#names.has(name) ? this.#array(name, dtype, dims) : undefined;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #nameOf({ name, leaf }: StepArgument, index: number, prefix: string): string | undefined {
    return [`${index}`, name, leaf].map((key) => prefix + key).find((key) => this.#names.has(key));
  }

  async #read(argument: StepArgument, index: number, prefix: string): Promise<ArrayData | undefined> {
    const name = this.#nameOf(argument, index, prefix);
    return name === undefined ? undefined : this.#array(name, argument.type.dtype, argument.type.dims);
  }

  async #array(name: string, dtype: Dtype, dims: readonly number[]): Promise<ArrayData> {
    const { dims: own, data, dtype: stored } = await this.#file.read(name);
    const isFloat = dtype === "f32" || dtype === "bf16";
    // numpy's `ascontiguousarray` writes a scalar as an array of one element.
    const isScalar = dims.length === 0 && sameDims(own, [1]);
    if (!(isScalar || sameDims(own, dims)) || (stored === "f32") !== isFloat)
      throw new LapidaryError({
        code: "LAP_IMPORT_INPUT",
        message: `the array has the type ${stored}[${own.join(",")}], and the step needs ${dtype}[${dims.join(",")}]`,
        location: `${this.#file.path}: tensor "${name}"`,
        remedy: "write the arrays again with the step: `lapidary_jax.save` writes both",
      });
    return arrayOf(dtype, dims, data);
  }
}
