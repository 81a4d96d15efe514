#!/usr/bin/env node
/**
 * Times the decoders of the messages of a step: `node packages/protocol/bench/decode.mjs`. Prints the median of 20 rounds, in microseconds a message.
 */
import { decodeAnswer, decodeMessage, decodeReply } from "../dist/index.js";

const peer = { name: "worker w0", build: "bench" };
const sharding = { dims: [[0, 1], []], unreduced: [], reduction: "sum" };
const port = (/** @type {string} */ array) => ({ array, tensor: { id: array, dtype: "i32", dims: [256, 1024], sharding, role: "batch" } });
const feed = {
  kind: "feed",
  id: 1,
  epoch: 1,
  directory: "/data",
  split: "train",
  seed: 0,
  step: 1,
  batch: 256,
  seq: 1024,
  into: ["tokens", "targets", "mask"].map(port),
};
const run = { kind: "run", id: 1, epoch: 1, step: 1, program: "p", update: true };
const times = { total_ms: 1.5, gemm_ms: 1, otherKernels_ms: 0.3, fused_ms: 0.1, fabricWait_ms: 0.2 };
const reply = { kind: "reply", id: 1, reply: { step: 1, kernelCalls: 1000, ...times } };
const names = Array.from({ length: 1000 }, (_, i) => `params/layers.${i}`);
const first = { ...run, values: { inputs: names, outputs: names, donate: names, told: [0] } };

const cases = {
  "feed message": () => decodeMessage(feed, peer),
  "run message": () => decodeMessage(run, peer),
  "run reply": () => decodeReply("run", /** @type {any} */ (decodeAnswer(reply, peer)).reply, peer),
  "run message with 3000 handles (the first of a program)": () => decodeMessage(first, peer),
  "for comparison: JSON.parse of a run reply": ((text) => () => JSON.parse(text))(JSON.stringify(reply)),
};
for (const [name, work] of Object.entries(cases)) {
  const times_us = Array.from({ length: 20 }, () => {
    const start = performance.now();
    for (let i = 0; i < 2000; i++) work();
    return (performance.now() - start) / 2;
  }).sort((a, b) => a - b);
  console.log(`${(times_us[10] ?? Number.NaN).toFixed(2).padStart(8)} us  ${name}`);
}
