import type { MetricsRow, Report } from "@lapidary/api";

/** The report of a run that is done. */
export const report: Report = {
  id: "quickstart-1",
  model: "quickstart",
  parameters: 3_407_872,
  chips: 256,
  workers: 2,
  mesh: "data=16,model=16",
  slice: { pod: 0, pods: 1, origin: [0, 0], dims: [16, 16] },
  zero: 3,
  steps: 200,
  tokens: 819_200,
  train_loss: 3.1,
  heldout_loss: 3.212,
  unigram_loss: 6.031,
  sample: { prompt: "The function", text: " returns the number of bytes that were read,\nor an error." },
  checkpoint: "/work/.lapidary/runs/quickstart-1/checkpoints/step-200",
  bytes_per_chip: { params: 53_248, optimizer: 106_496, gradients: 53_248 },
  collectives: [
    {
      op: "all_gather",
      axis: "data",
      count: 58,
      bytes_per_chip: 1_640_000,
      why: "gathers dim 0 of params/embed over data: it is split there by ZeRO-3",
    },
    {
      op: "all_reduce",
      axis: "model",
      count: 17,
      bytes_per_chip: 983_040.5,
      why: "reduces the partial sums of attn.out over model: a summed dim is split there",
    },
  ],
  timings_ms: {
    prepare: 4200,
    compile: 900,
    place: 3,
    load: 350,
    train: 101_000,
    evaluate: 2100,
    checkpoint: 400,
    sample: 1200,
    total: 110_153,
  },
  tokens_per_s: 8110.9,
  warnings: [],
};

/** A row of metrics of a training step. */
export const trainRow = (step: number, loss: number): MetricsRow => ({
  kind: "train",
  time: step,
  step,
  loss,
  grad_norm: 1,
  learning_rate: 0.001,
  tokens_per_s: 8000,
  step_ms: 500,
  eta_s: 10,
});
