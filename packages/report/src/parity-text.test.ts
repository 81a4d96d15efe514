import { expectText } from "@lapidary/std/testing";
import type { ParityResult, ParityTolerances } from "@lapidary/offline/parity";
import { makePaint } from "./paint.js";
import { parityText } from "./parity-text.js";

const result: ParityResult = {
  ok: false,
  chips: 8,
  workers: 2,
  mesh: "data=2,model=4",
  logits_max_abs: 1.2e-6,
  loss_abs: [0, 1e-7, 0, 3e-5, 0],
  grads_max_rel_l2: 2.3e-6,
  grad_norm_rel: 3e-7,
  grads_worst: "model.layers.0.mlp.up_proj.weight",
  params_step1_rms: 4e-8,
  params_step5_rms: 5e-8,
  sft_loss_abs: 0,
  collectives: [
    { op: "all_gather", axis: "data", count: 12, bytes_per_chip: 40_960 },
    { op: "all_reduce", axis: "model", count: 9, bytes_per_chip: 6144 },
  ],
};

const tolerances: ParityTolerances = {
  logits_max_abs: 2e-5,
  loss_abs: 2e-5,
  grads_max_rel_l2: 1e-5,
  grad_norm_rel: 1e-5,
  params_step1_rms: 1e-6,
  params_step5_rms: 1e-6,
  sft_loss_abs: 2e-5,
};

describe("text of a parity run", () => {
  it("the table shows every distance with its tolerance and marks the distances above it", () => {
    expectText(parityText(result, tolerances, ["loss_abs"], makePaint(false)), new URL("../src/parity-text.txt", import.meta.url));
  });
});
