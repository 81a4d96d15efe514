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

/** The largest distance of a result from that of JAX, relative to the largest element of the result. */
const tolerance = 2e-6;

/** Compares the last result of a text in the interpreter with that of JAX. */
export function checkExported(path: string, { args, out }: ExportedValues): void {
  const step = importStep(goldenText(path), path);
  const inputs = new Map(
    step.arguments.map(({ name, type, element }, i) => {
      const numbers = Float64Array.from(args[i] ?? []);
      return [name, tensor(type.dtype, type.dims, element === "ui32" ? numbers.map((x) => x | 0) : numbers)];
    }),
  );
  const got = [...interpret(step.graph, inputs).values()].at(-1)?.data ?? [];
  strictEqual(got.length, out.length);
  const largest = out.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  out.forEach((want, i) =>
    ok(Math.abs(want - (got[i] ?? Number.NaN)) <= tolerance * largest, `element ${i} is ${got[i]}, JAX has ${want}`),
  );
}
