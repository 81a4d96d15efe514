import { ok, strictEqual } from "node:assert/strict";
import { interpret, tensor } from "@lapidary/ir";
import { importStep } from "../convert/import-step.js";
import { goldenText } from "./golden.js";

/** The arguments and the last result of a text that JAX exported, as JAX computed it. */
export interface ExportedValues {
  readonly args: readonly (readonly number[])[];
  readonly out: readonly number[];
}

/** The values of all texts in a directory of e2e/golden/stablehlo. */
export const exportedValues = (directory: string): Readonly<Record<string, ExportedValues>> =>
  JSON.parse(goldenText(`${directory}/values.json`)) as Readonly<Record<string, ExportedValues>>;

/** Compares the last result of a text in the interpreter with that of JAX. */
export function checkExported(path: string, { args, out }: ExportedValues): void {
  const step = importStep(goldenText(path), path);
  const inputs = new Map(
    step.arguments.map(({ name, type }, i) => [name, tensor(type.dtype, type.dims, Float64Array.from(args[i] ?? []))]),
  );
  const got = [...interpret(step.graph, inputs).values()].at(-1)?.data ?? [];
  strictEqual(got.length, out.length);
  out.forEach((want, i) => ok(Math.abs(want - (got[i] ?? Number.NaN)) < 1e-5, `element ${i} is ${got[i]}, JAX has ${want}`));
}
