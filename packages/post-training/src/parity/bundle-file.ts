import { join } from "node:path";
import { type ArrayData, readSafetensors } from "@lapidary/interop";
import { LapidaryError } from "@lapidary/std";

type F32Array = Extract<ArrayData, { dtype: "f32" }>;
type I32Array = Extract<ArrayData, { dtype: "i32" }>;

/** A safetensors file of a bundle, whose arrays are read by name, type and dims. */
export class BundleFile {
  private constructor(
    readonly path: string,
    private readonly arrays: ReadonlyMap<string, ArrayData>,
  ) {}

  static async read(directory: string, name: string): Promise<BundleFile> {
    const path = join(directory, name);
    return new BundleFile(path, await readSafetensors(path));
  }

  /** The arrays whose names begin with `prefix`, without it. */
  withPrefix(prefix: string): ReadonlyMap<string, ArrayData> {
    return new Map([...this.arrays].filter(([name]) => name.startsWith(prefix)).map(([name, array]) => [name.slice(prefix.length), array]));
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

  /** The dims of an i32 matrix. */
  matrixDims(name: string): readonly [number, number] {
    const { dims } = this.i32(name);
    const [rows = 0, columns = 0] = dims;
    if (dims.length !== 2 || rows < 1 || columns < 1)
      throw bundleError(this.path, name, `its dims are [${dims.join(", ")}], not [rows, tokens]`);
    return [rows, columns];
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
