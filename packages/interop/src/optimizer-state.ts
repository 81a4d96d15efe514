import { sameDims } from "@lapidary/ir";
import type { ParamSpec } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import type { TensorFile } from "./tensor-file.js";

/**
 * Checks that the file of an optimizer state has, for each of its slots (`adam_m`, `adam_v`), an array for every parameter and no other array.
 *
 * @throws LAP_CHECKPOINT_STATE with the first array that is missing, has another shape, or belongs to no parameter
 */
export function checkOptimizerState(
  params: readonly Pick<ParamSpec, "name" | "dims">[],
  file: Pick<TensorFile, "path" | "names" | "dimsOf">,
): void {
  const slots = new Set(file.names.map((name) => name.split("/")[0] ?? ""));
  const expected = new Map<string, readonly number[]>();
  for (const slot of slots) for (const { name, dims } of params) expected.set(`${slot}/${name}`, dims);
  const fail = (name: string, problem: string): never => {
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_STATE",
      message: `invalid optimizer state: array ${name}: ${problem}`,
      location: `${file.path}: tensor "${name}"`,
      remedy: "copy the complete checkpoint again, or remove the optimizer state: it does not belong to the weights",
    });
  };
  for (const name of file.names) if (!expected.has(name)) fail(name, "the model has no such parameter");
  for (const [name, dims] of expected) {
    const found = file.dimsOf(name);
    if (found === undefined) fail(name, "missing from the file");
    else if (!sameDims(found, dims)) fail(name, `its shape is [${found.join(", ")}], the shape of its parameter [${dims.join(", ")}]`);
  }
}
