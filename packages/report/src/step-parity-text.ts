import type { StepParityResult } from "@lapidary/offline/parity";
import { counted, textTable } from "@lapidary/std";
import type { Paint } from "./paint.js";

/** The text of `lapidary parity` for an exported step: the distance of every result from that of JAX. */
export function stepParityText({ ok, chips, workers, mesh, steps, results, collectives }: StepParityResult, paint: Paint): string {
  const rows = results.map(({ name, deviation, tolerance, ok: near }) => [
    name,
    deviation.toExponential(2),
    tolerance.toExponential(1),
    near ? "ok" : "TOO FAR",
  ]);
  const table = textTable(
    [{ title: "result" }, { title: "distance", align: "right" }, { title: "allowed", align: "right" }, { title: "" }],
    rows,
  );
  const failed = results.filter((result) => !result.ok).length;
  const summary = `${counted(steps, "step")}, ${counted(results.length, "result")}${failed === 0 ? "" : `, ${failed} too far`}`;
  return [
    `${counted(chips, "chip")}, mesh ${mesh}, emulated by ${counted(workers, "worker")}, ${counted(
      collectives.reduce((sum, { count }) => sum + count, 0),
      "collective",
    )} in a step`,
    "",
    table.replaceAll("TOO FAR", paint.red("TOO FAR")).replace(/ ok$/gm, ` ${paint.green("ok")}`),
    "",
    `${summary}: ${ok ? paint.green("in parity with JAX") : paint.red("NOT in parity with JAX")}`,
  ].join("\n");
}
