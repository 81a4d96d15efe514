import { sizeOf } from "@lapidary/ir";
import { type ArrayData, arrayOf, emptyNumbers } from "@lapidary/protocol";
import type { StepArgument } from "@lapidary/stablehlo";
import { hash32, hashString, LapidaryError, normalAt, uniformAt } from "@lapidary/std";
import type { ResolvedStepJob } from "@lapidary/training";

/**
 * An argument of a step that no file has, as a function of seed, step and name: floats are normal, integers uniform below `tokens`.
 *
 * @throws LAP_IMPORT_INPUT for integers without a limit, because the text does not say what they index
 */
export function drawnBatch(argument: StepArgument, step: number, { seed, tokens }: Pick<ResolvedStepJob, "seed" | "tokens">): ArrayData {
  const { name, leaf, type } = argument;
  const { dtype, dims } = type;
  const key = hash32(hash32(seed, hashString(name)), step);
  const data = emptyNumbers(dtype, sizeOf(dims));
  if (dtype === "f32" || dtype === "bf16") for (let i = 0; i < data.length; i++) data[i] = normalAt(key, i);
  else if (dtype === "pred") for (let i = 0; i < data.length; i++) data[i] = uniformAt(key, i) < 0.5 ? 0 : 1;
  else {
    const limit = limitOf(argument, tokens);
    if (limit === undefined) throw noLimit(leaf, name);
    for (let i = 0; i < data.length; i++) data[i] = Math.min(limit - 1, Math.floor(uniformAt(key, i) * limit));
  }
  return arrayOf(dtype, dims, data);
}

const limitOf = ({ name, leaf }: StepArgument, tokens: ResolvedStepJob["tokens"]): number | undefined =>
  typeof tokens === "object" ? (tokens[name] ?? tokens[leaf]) : tokens;

const noLimit = (leaf: string, name: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_IMPORT_INPUT",
    message: `the integers of ${leaf} have no values`,
    location: name,
    remedy: `give inputs=FILE.safetensors with batch/0/${name}, or tokens=N to draw integers below N`,
  });
