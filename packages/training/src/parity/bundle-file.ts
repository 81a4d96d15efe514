import { join } from "node:path";
import { type ArrayData, readSafetensors } from "@lapidary/interop";
import { LapidaryError } from "@lapidary/std";

type F32Array = Extract<ArrayData, { dtype: "f32" }>;
type I32Array = Extract<ArrayData, { dtype: "i32" }>;

/** A safetensors file of a bundle, whose arrays are read by name, type and dims. */
export class BundleFile {
  constructor(
    readonly path: string,
    private readonly arrays: ReadonlyMap<string, ArrayData>,
  ) {}

  /** Reads a file as an instance of the class on which the method is called. */
  static async read<T>(this: new (path: string, arrays: ReadonlyMap<string, ArrayData>) => T, directory: string, name: string): Promise<T> {
    const path = join(directory, name);
    return new this(path, await readSafetensors(path));
  }

  get names(): string[] {
    return [...this.arrays.keys()];
  }

  f32(name: string, dims: readonly number[]): F32Array {
    const array = this.#get(name, dims);
    if (array.dtype !== "f32") throw bundleError(this.path, name, "expected f32, got integers");
    return array;
  }

  i32(name: string, dims?: readonly number[]): I32Array {
    const array = this.#get(name, dims);
    if (array.dtype !== "i32") throw bundleError(this.path, name, "expected integers, got f32");
    return array;
  }

  #get(name: string, dims: readonly number[] | undefined): ArrayData {
    const array = this.arrays.get(name);
    if (array === undefined) throw bundleError(this.path, name, "the tensor is missing");
    if (dims !== undefined && dims.join() !== array.dims.join())
      throw bundleError(this.path, name, `its dims are [${array.dims.join(", ")}], not [${dims.join(", ")}]`);
    return array;
  }
}

export const bundleError = (path: string, tensor: string, problem: string): LapidaryError =>
  new LapidaryError({ code: "LAP_PARITY_BUNDLE", message: problem, location: `${path}: tensor "${tensor}"` });
