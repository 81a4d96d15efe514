import type { ParityResult, ParityTolerances } from "@lapidary/offline/parity";
import { formatBytes, textTable, counted } from "@lapidary/std";
import type { Paint } from "./paint.js";

const meaning: Readonly<Record<keyof ParityTolerances, string>> = {
  logits_max_abs: "logits, largest difference",
  loss_abs: "loss of each step, largest difference",
  grads_max_rel_l2: "gradients, largest relative distance",
  grad_norm_rel: "norm of the gradients, relative difference",
  params_step1_rms: "params after 1 step, rms",
  params_step5_rms: "params after 5 steps, rms",
  sft_loss_abs: "loss of fine-tuning, difference",
};

/** The text of `lapidary parity`: every distance with its tolerance. */
export function parityText(result: ParityResult, tolerances: ParityTolerances, failures: readonly string[], paint: Paint): string {
  const keys = Object.keys(meaning) as (keyof ParityTolerances)[];
  const rows = keys.map((key) => [
    meaning[key],
    Math.max(...[result[key]].flat()).toExponential(2),
    tolerances[key].toExponential(0),
    failures.includes(key) ? "TOO FAR" : "ok",
  ]);
  const table = textTable(
    [{ title: "" }, { title: "distance", align: "right" }, { title: "allowed", align: "right" }, { title: "" }],
    rows,
  );
  const moved = result.collectives.map(({ op, axis, count, bytes_per_chip }) => [
    op,
    axis,
    String(count),
    formatBytes(Math.ceil(bytes_per_chip)),
  ]);
  return [
    `${counted(result.chips, "chip")}, mesh ${result.mesh}, emulated by ${counted(result.workers, "worker")}`,
    "",
    table.replaceAll("TOO FAR", paint.red("TOO FAR")).replace(/ ok$/gm, ` ${paint.green("ok")}`),
    `worst gradient: ${result.grads_worst}`,
    "",
    moved.length === 0
      ? "the train step needs no collective"
      : textTable(
          [
            { title: "collective of a step" },
            { title: "axis" },
            { title: "count", align: "right" },
            { title: "bytes per chip", align: "right" },
          ],
          moved,
        ),
    "",
    result.ok ? paint.green("in parity with PyTorch") : paint.red("NOT in parity with PyTorch"),
  ].join("\n");
}
