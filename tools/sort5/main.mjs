#!/usr/bin/env node
/**
 * Post-training of sort5 on an emulated pod, from fine-tuning to reinforcement learning, compared with the known optimum.
 * `tools/README.md` describes the task.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { countOutcomes, meanKlOptimum, openChecker, outcomeOfScores, parseChecker, winRate } from "@lapidary/evaluation";
import { readSafetensors, writeSafetensors } from "@lapidary/interop";
import { parseMesh } from "@lapidary/topology";
import { openSession, RlStepController } from "@lapidary/trainer";
import { defaultRules } from "@lapidary/training";
import { readFlags } from "../flags.mjs";
import { ascending, pipelineSizes, question, writeData } from "./data.mjs";
import { drawPairs, openScores, trainRewardModel } from "./reward-model.mjs";
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
--data DIR         only write the data of the pipeline
--seed N           (0)
--mesh MESH        (data=16,model=16)
--zero N           (3)
--workers N        (2)
--sft-steps N      (1200)
--rollouts N       (150)
--betas LIST       (1,0.5,0.25)
--algorithm NAME   rloo, reinforce, grpo (rloo)
--parts LIST       rlvr: rewards of the checker; rm: of a reward model (rlvr,rm)
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
  parts: { type: "string", default: "rlvr,rm" },
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
 * @returns `p`: the probability of the right answer by prompt; `isRight`: of answers that differ from `sampled`
 */
async function evaluateSft(session, comparison) {
  const rows = Number(values.held);
  const sampled = await answerHeldOut(session, { seed, rows, temperature: 1 });
  const greedy = await answerHeldOut(session, { seed, rows, temperature: 0 });
  const again = await answerHeldOut(session, { seed: seed + 1, rows, temperature: 1, prompts: heldOut(seed, rows) });
  const prompts = heldOut(seed, rows);
  const { policy } = await comparison.sums(
    prompts,
    prompts.map(({ text }) => [...ended([...Buffer.from(ascending(text))].map((byte) => 4 + byte).concat(261)).slice(0, 6)]),
  );
  const p = policy.map((logp) => Math.exp(logp));
  report("sft", { sampled: sampled.accuracy, greedy: greedy.accuracy, p_of_ascending: mean(p) });
  return { p, sampled, isRight: again.isRight };
}

/** A hash of weights: equal runs print equal digests. @param {import("./task.mjs").Weights} weights */
function digestOf(weights) {
  const hash = createHash("sha256");
  for (const { data } of weights.values()) hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest("hex").slice(0, 16);
}

/** @typedef {{ session: import("@lapidary/trainer").Session, weights: import("./task.mjs").Weights, comparison: Awaited<ReturnType<typeof openComparison>>, sft: Awaited<ReturnType<typeof evaluateSft>> }} Start */

/**
 * Trains the fine-tuned model by rewards, and answers the held-out prompts.
 *
 * @param {Start} start
 * @param {{ beta: number, rollouts: number, rewards: readonly unknown[], cutOff: unknown, sets: ReadonlyMap<string, import("./task.mjs").Weights> }} options
 */
async function reinforce({ session, weights, comparison, sft }, { beta, rollouts, rewards, cutOff, sets }) {
  const [prompts, generations] = [64, 4];
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
    rewards,
    cutOff,
    iterations: 1,
    text: { decode: textOf, end: ended, endTokens: 1 },
  };
  const controller = await RlStepController.load(session, /** @type {any} */ (settings));
  await controller.initialize(weights);
  await controller.putSet("reference", weights);
  for (const [set, arrays] of sets) await controller.putSet(set, arrays);
  const times = { prefill: 0, decode: 0, score: 0, reference: 0, update: 0 };
  for (let step = 0; step < rollouts; step++) {
    const { metrics } = await controller.step(step);
    for (const key of /** @type {(keyof typeof times)[]} */ (Object.keys(times))) times[key] += metrics.ms[key] / rollouts;
    if (step % 10 !== 0 && step + 1 < rollouts) continue;
    const { kl, klPerCompletion, entropy, logProbGap, completions } = metrics;
    const reward = metrics.rewards.get("score");
    process.stderr.write(
      `beta ${beta} step ${step}: ${JSON.stringify({ reward, klPerCompletion, kl, entropy, gap: logProbGap.max, cut: completions.cutOffShare })}\n`,
    );
  }
  const rows = Number(values.held);
  const digest = digestOf(await fetchWeights(session, [...weights.keys()]));
  const sampled = await answerHeldOut(session, { seed, rows, temperature: 1 });
  const greedy = await answerHeldOut(session, { seed, rows, temperature: 0 });
  const { kl } = await comparison.sums(sampled.prompts, sampled.answers);
  const { rate, normal95 } = winRate(
    countOutcomes(sampled.isRight.map((right, i) => outcomeOfScores(Number(right), Number(sft.isRight[i])))),
  );
  report("rl_ms_per_step", { beta, ...times });
  return {
    beta,
    sampled: sampled.accuracy,
    greedy: greedy.accuracy,
    kl: mean(kl),
    against_sft: rate,
    against_sft_ci95: normal95,
    digest,
    held: sampled,
  };
}

/** Rewards by the checker, for each beta. @param {Start} start */
async function byChecker(start) {
  const checker = await openChecker(parseChecker("sorted", "reward.0"), ".", "reward.0");
  const rewards = [{ name: "sorted", weight: 1, kind: "checker", check: (/** @type {any} */ row) => checker.check(row) }];
  for (const beta of values.betas.split(",").map(Number)) {
    const cutOff = { rule: "penalty", score: 0 };
    const { held: _, ...figures } = await reinforce(start, { beta, rollouts: Number(values.rollouts), rewards, cutOff, sets: new Map() });
    const best = meanKlOptimum(start.sft.p, beta);
    report("rlvr", { ...figures, predicted: best.accuracy, kl_predicted: best.kl });
  }
}

/** Rewards by a reward model, with beta .3 and 0. @param {Start} start */
async function byRewardModel(start) {
  const { session, weights } = start;
  const all = await drawPairs(session, { seed, count: 3000 });
  const [test, pairs] = [all.slice(0, 512), all.slice(512)];
  const rewardModel = await trainRewardModel(session, weights, pairs, { seed, steps: 500 });
  const scores = await openScores(session, 1024, rewardModel);
  const both = await scores.of(
    [...test, ...test].map(({ prompt }) => prompt),
    [...test.map(({ chosen }) => chosen), ...test.map(({ rejected }) => rejected)],
  );
  const agrees = test.map((_, i) => Number(both[i]) > Number(both[i + test.length]));
  const held = start.sft.sampled;
  const ofHeld = (/** @type {typeof held} */ { prompts, answers }) =>
    scores.of(
      prompts,
      answers.map((answer) => ended([...answer])),
    );
  const sft = await ofHeld(held);
  const shift = mean(sft);
  const scale = 1 / Math.sqrt(mean(sft.map((x) => (x - shift) ** 2)));
  report("reward_model", {
    pairs: pairs.length,
    held_out_pairs: mean(agrees.map(Number)),
    against_checker: mean(test.map(({ isFlipped }, i) => Number(agrees[i] !== isFlipped))),
  });
  const rewards = [{ name: "rm", weight: 1, kind: "model", set: "reward", shift, scale }];
  const sets = new Map([["reward", rewardModel]]);
  for (const [beta, factor] of /** @type {const} */ ([
    [0.3, 1],
    [0, 2],
  ])) {
    const rollouts = factor * Number(values.rollouts);
    const { held: after, ...figures } = await reinforce(start, { beta, rollouts, rewards, cutOff: { rule: "score" }, sets });
    const reward = mean(await ofHeld(after));
    report("rl_on_reward_model", {
      rollouts,
      ...figures,
      reward: (reward - shift) * scale,
      example: [after.prompts[0]?.text, textOf(after.answers[0] ?? [])],
    });
  }
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
    const start = { session, weights, comparison, sft: await evaluateSft(session, comparison) };
    if (values.parts.includes("rlvr")) await byChecker(start);
    await comparison.put(weights);
    if (values.parts.includes("rm")) await byRewardModel(start);
  } finally {
    await session.close();
  }
}

if (values.data === undefined) await main();
else writeData(values.data, { seed, ...pipelineSizes });
