#!/usr/bin/env node
/**
 * Post-training of sort5 on an emulated pod, from fine-tuning to reinforcement learning, compared with the known optimum.
 * `tools/README.md` describes the task.
 */
import { existsSync } from "node:fs";
import { meanKlOptimum, openChecker, parseChecker } from "@lapidary/evaluation";
import { readSafetensors, writeSafetensors } from "@lapidary/interop";
import { parseMesh } from "@lapidary/topology";
import { openSession, RlStepController } from "@lapidary/trainer";
import { defaultRules } from "@lapidary/training";
import { readFlags } from "../flags.mjs";
import { ascending, question, writeData } from "./data.mjs";
import {
  answerHeldOut,
  answerTokens,
  ended,
  fetchWeights,
  fineTune,
  heldOut,
  model,
  openComparison,
  promptOf,
  promptTokens,
  stopTokens,
  textOf,
  updateOf,
} from "./task.mjs";

const usage = `node tools/sort5/main.mjs [FLAG…]
--data DIR         only write the data of the task
--seed N           (0)
--mesh MESH        (data=16,model=16)
--zero N           (3)
--workers N        (2)
--sft-steps N      (1200)
--rollouts N       (150)
--betas LIST       (1,0.5,0.25)
--algorithm NAME   rloo, reinforce, grpo (rloo)
--held N           held-out prompts (1024)
--weights FILE     fine-tuned weights: read if the file exists, else written`;

const { values } = readFlags(usage, {
  data: { type: "string" },
  seed: { type: "number", default: "0" },
  mesh: { type: "string", default: "data=16,model=16" },
  zero: { type: "string", default: "3", among: ["0", "1", "2", "3"] },
  workers: { type: "count", default: "2" },
  "sft-steps": { type: "count", default: "1200" },
  rollouts: { type: "count", default: "150" },
  betas: { type: "string", default: "1,0.5,0.25" },
  algorithm: { type: "string", default: "rloo", among: ["rloo", "reinforce", "grpo"] },
  held: { type: "count", default: "1024" },
  weights: { type: "string" },
});
const seed = Number(values.seed);
const begin = performance.now();

/** @param {string} part @param {Record<string, unknown>} figures */
function report(part, figures) {
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([key, value]) => [key, typeof value === "number" ? Number(value.toPrecision(5)) : value]),
  );
  process.stdout.write(`${JSON.stringify({ part, seed, ...rounded, seconds: Math.round((performance.now() - begin) / 1000) })}\n`);
}

/** @param {import("@lapidary/trainer").Session} session */
async function fineTuned(session) {
  const names = model.params.map(({ name }) => name);
  const file = values.weights;
  if (file !== undefined && existsSync(file)) return readSafetensors(file);
  const sftBegin = performance.now();
  const steps = Number(values["sft-steps"]);
  await fineTune(session, {
    seed,
    steps,
    rows: 64,
    onStep: (step, loss) => step % 100 === 0 && process.stderr.write(`sft ${step}: ${loss.toFixed(4)}\n`),
  });
  const weights = await fetchWeights(session, names);
  report("sft_time", { steps, ms_per_step: (performance.now() - sftBegin) / steps });
  if (file !== undefined) await writeSafetensors(file, /** @type {any} */ (weights));
  return weights;
}

/**
 * @param {import("@lapidary/trainer").Session} session
 * @param {Awaited<ReturnType<typeof openComparison>>} comparison
 * @returns the probability of the right answer by prompt
 */
async function evaluateSft(session, comparison) {
  const rows = Number(values.held);
  const sampled = await answerHeldOut(session, { seed, rows, temperature: 1 });
  const greedy = await answerHeldOut(session, { seed, rows, temperature: 0 });
  const prompts = heldOut(seed, rows);
  const { policy } = await comparison.sums(
    prompts,
    prompts.map(({ text }) => [...ended([...Buffer.from(ascending(text))].map((byte) => 4 + byte).concat(261)).slice(0, 6)]),
  );
  const p = policy.map(Math.exp);
  report("sft", { sampled: sampled.accuracy, greedy: greedy.accuracy, p_of_ascending: mean(p) });
  return p;
}

/**
 * @param {import("@lapidary/trainer").Session} session
 * @param {{ weights: import("./task.mjs").Weights, comparison: Awaited<ReturnType<typeof openComparison>>, beta: number, p: number[] }} start `p`: probability of the right answer by prompt
 */
async function reinforce(session, { weights, comparison, beta, p }) {
  const checker = await openChecker(parseChecker("sorted", "reward.0"), ".", "reward.0");
  const [rollouts, prompts, generations] = [Number(values.rollouts), 64, 4];
  const clip = { low: 0.2, high: 0.2 };
  const settings = {
    model,
    update: updateOf(rollouts, 1e-3),
    seed,
    algorithm:
      values.algorithm === "grpo"
        ? { algorithm: "grpo", beta, clip, klWeight: true, reduction: "grpo", maxNewTokens: answerTokens }
        : { algorithm: values.algorithm, beta, clip },
    rollout: { prompts, generations, promptTokens, newTokens: answerTokens, temperature: 1, stopTokens },
    promptsOf: (/** @type {number} */ step) => Array.from({ length: prompts }, (_, i) => promptOf(question(seed, step * prompts + i))),
    rewards: [{ name: "sorted", weight: 1, kind: "checker", check: (/** @type {any} */ row) => checker.check(row) }],
    cutOff: { rule: "penalty", score: 0 },
    iterations: 1,
    text: { decode: textOf, end: ended, endTokens: 1 },
  };
  const controller = await RlStepController.load(session, /** @type {any} */ (settings));
  await controller.initialize(weights);
  await controller.putSet("reference", weights);
  const times = { prefill: 0, decode: 0, score: 0, reference: 0, update: 0 };
  for (let step = 0; step < rollouts; step++) {
    const metrics = await controller.step(step);
    for (const key of /** @type {(keyof typeof times)[]} */ (Object.keys(times))) times[key] += metrics.ms[key] / rollouts;
    if (step % 10 === 0 || step + 1 === rollouts) {
      const { rewards, kl, entropy, klPerAnswer, logProbGap, completions, ms } = metrics;
      process.stderr.write(
        `beta ${beta} step ${step}: ${JSON.stringify({ reward: rewards.get("sorted")?.mean, klPerAnswer, kl, entropy, gap: logProbGap.max, cut: completions.cutOffShare, ms })}\n`,
      );
    }
  }
  const sampled = await answerHeldOut(session, { seed, rows: p.length, temperature: 1 });
  const greedy = await answerHeldOut(session, { seed, rows: p.length, temperature: 0 });
  const { kl } = await comparison.sums(sampled.prompts, sampled.answers);
  const best = meanKlOptimum(p, beta);
  report("rlvr", {
    beta,
    predicted: best.accuracy,
    sampled: sampled.accuracy,
    greedy: greedy.accuracy,
    kl: mean(kl),
    kl_predicted: best.kl,
  });
  report("rlvr_ms_per_step", { beta, ...times });
}

/** @param {readonly number[]} list */
const mean = (list) => list.reduce((sum, x) => sum + x, 0) / list.length;

async function main() {
  const mesh = parseMesh(values.mesh);
  const session = await openSession({
    mesh,
    workers: Number(values.workers),
    rules: defaultRules(mesh, model.params),
    zero: /** @type {0 | 1 | 2 | 3} */ (Number(values.zero)),
    environment: process.env,
  });
  try {
    const weights = await fineTuned(session);
    const comparison = await openComparison(session, Number(values.held));
    await comparison.put(weights);
    const p = await evaluateSft(session, comparison);
    for (const beta of values.betas.split(",").map(Number)) await reinforce(session, { weights, comparison, beta, p });
  } finally {
    await session.close();
  }
}

if (values.data === undefined) await main();
else writeData(values.data, { seed, demos: 76_800, prompts: 9_600, pairs: 3_000, held: 1_024 });
