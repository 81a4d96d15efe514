import { sameDims } from "@lapidary/ir";
import type { ParamSpec } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import type { TensorFile } from "./tensor-file.js";

/**
 * Checks that the file of an optimizer's state has, for each of its slots (`adam_m`, `adam_v`), an array for every parameter, and nothing else.
 *
 * @throws LAP_CHECKPOINT_STATE naming the first array that is missing, of another shape, or without a parameter
 */
export function checkOptimizerState(params: readonly ParamSpec[], file: Pick<TensorFile, "path" | "names" | "dimsOf">): void {
  const slots = new Set(file.names.map((name) => name.split("/")[0] ?? ""));
  const wanted = new Map<string, readonly number[]>();
  for (const slot of slots) for (const { name, dims } of params) wanted.set(`${slot}/${name}`, dims);
  const fail = (name: string, problem: string): never => {
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_STATE",
      message: `array ${name} of the optimizer: ${problem}`,
      place: `${file.path}: tensor "${name}"`,
      remedy: "weights and state of the optimizer do not belong together: copy the whole checkpoint again, or remove the state",
    });
  };
  for (const name of file.names) if (!wanted.has(name)) fail(name, "the model has no parameter for it");
  for (const [name, dims] of wanted) {
    const found = file.dimsOf(name);
    if (found === undefined) fail(name, "the file lacks it");
    else if (!sameDims(found, dims)) fail(name, `it is [${found.join(", ")}], its parameter [${dims.join(", ")}]`);
  }
}
