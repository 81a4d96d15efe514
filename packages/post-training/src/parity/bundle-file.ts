import { type ArrayData, readParam } from "@lapidary/interop";
import { type ParamSpec, storedTensors } from "@lapidary/models";
import { BundleFile, bundleError } from "@lapidary/training";

type I32Array = Extract<ArrayData, { dtype: "i32" }>;

/** A file of a post-training bundle, whose ids, masks and labels are checked when they are read. */
export class PostBundleFile extends BundleFile {
  /** The gradients `grad.<name>` of all parameters, and of nothing else. */
  gradients(params: readonly ParamSpec[]): ReadonlyMap<string, ArrayData> {
    const prefix = "grad.";
    const known = new Set(params.flatMap(storedTensors).map(({ name }) => prefix + name));
    const unknown = this.names.find((name) => name.startsWith(prefix) && !known.has(name));
    if (unknown !== undefined) throw bundleError(this.path, unknown, "the model has no such parameter");
    return new Map(params.map((spec) => [spec.name, readParam(spec, (tensor, dims) => this.f32(prefix + tensor, dims))]));
  }

  /** Token ids [rows, columns] of a vocabulary. */
  tokens(name: string, vocabSize: number, dims?: readonly number[]): I32Array {
    const array = this.i32(name, dims);
    if (array.dims.length !== 2 || array.data.length === 0)
      throw bundleError(this.path, name, `its dims are [${array.dims.join(", ")}], not [rows, tokens]`);
    const id = array.data.find((each) => each < 0 || each >= vocabSize);
    if (id !== undefined) throw bundleError(this.path, name, `the id ${id} is not in the vocabulary of ${vocabSize} ids`);
    return array;
  }

  /** Token ids [rows, columns], where the rows are groups of `size` rows. */
  groupedTokens(name: string, vocabSize: number, size: number): I32Array {
    const array = this.tokens(name, vocabSize);
    const [rows = 0] = array.dims;
    if (rows % size !== 0) throw bundleError(this.path, name, `its ${rows} rows are not groups of ${size}`);
    return array;
  }

  /** Integers in a range. */
  within(name: string, dims: readonly number[], low: number, high: number): I32Array {
    const array = this.i32(name, dims);
    const value = array.data.find((each) => each < low || each > high);
    if (value !== undefined) throw bundleError(this.path, name, `the value ${value} is not one of ${low} to ${high}`);
    return array;
  }

  /** A mask [rows, columns] of 0 and 1. */
  mask(name: string, dims: readonly number[]): I32Array {
    return this.within(name, dims, 0, 1);
  }

  /** The mask of rows that are padded on one side only. Each row has a token. */
  padded(name: string, [rows, columns]: readonly [number, number], side: "left" | "right"): I32Array {
    const array = this.mask(name, [rows, columns]);
    for (let row = 0; row < rows; row++) {
      const seen = array.data.subarray(row * columns, (row + 1) * columns);
      const inner = side === "left" ? seen.toReversed() : seen;
      if (inner[0] !== 1 || inner.some((each, at) => each === 1 && inner[at - 1] === 0))
        throw bundleError(this.path, name, `row ${row} is not padded on the ${side}`);
    }
    return array;
  }

  /** Checks that a scalar of the file is the number of the manifest. */
  requireScalar(name: string, expected: number): void {
    const [value = Number.NaN] = this.f32(name, [1]).data;
    if (!(Math.abs(value - expected) <= 1e-6 * Math.max(1, Math.abs(expected))))
      throw bundleError(this.path, name, `its value is ${value}, and the manifest has ${expected}`);
  }

  /** Labels of tokens: an id, or −100 where the token does not count. */
  labels(name: string, vocabSize: number, dims: readonly number[]): I32Array {
    const array = this.i32(name, dims);
    const label = array.data.find((each) => each !== -100 && (each < 0 || each >= vocabSize));
    if (label !== undefined) throw bundleError(this.path, name, `the label ${label} is neither −100 nor an id of the vocabulary`);
    return array;
  }
}
