import { join } from "node:path";
import { type ArrayData, f32Array } from "@lapidary/interop";
import { ensure } from "@lapidary/std";
import { bundleError, type GraphRunner } from "@lapidary/training";
import { klToReference, logProbs } from "../programs/evaluations.js";
import { type RlConfig, rlStep, valueSet, withValueModel } from "../programs/rl-step.js";
import { trainedStates } from "../programs/trained-model.js";
import type { PostBundle } from "./bundle.js";
import { PartChecks, type PostCheck } from "./checks.js";
import { type Arrays, arrayOf, asParams, gradientsOf, initialStates, inputsOf, runStep, runSteps, scalarOf } from "./context.js";
import { type GrpoVariantName, bySetting, clipHigherPrefix, grpoVariantNames, manifestError } from "./manifest.js";
import { asF32, joinColumns, matrixDims, meanWhere, placeCompletion, shiftMasked, takeCompletion } from "./rows.js";

/** The rollout of a bundle. Each row is a prompt and its completion. */
interface Rollout {
  readonly shape: { readonly batch: number; readonly seq: number; readonly segments: true };
  /** Columns of the prompts, and of the completions. */
  readonly prompt: number;
  readonly completion: number;
  /** tokens, targets, mask, segments. */
  readonly sequences: Arrays;
  /** i32[B, C] */
  readonly completionMask: ArrayData;
  /** Arrays [B, C] of the file as inputs [B, T]. */
  readonly placed: (values: ArrayData) => ArrayData;
  /** Results [B, T] as arrays [B, C] of the file. */
  readonly taken: (values: ArrayData) => ArrayData;
}

function rolloutOf({ config: { vocabSize }, manifest, files: { rollout } }: PostBundle): Rollout {
  const prompts = rollout.groupedTokens("prompt_ids", vocabSize, manifest.rollout.generations);
  const [batch, prompt] = matrixDims(prompts);
  const completions = rollout.tokens("completion_ids", vocabSize);
  const [rows, completion] = matrixDims(completions);
  if (rows !== batch) throw bundleError(rollout.path, "completion_ids", `it has ${rows} rows, and "prompt_ids" has ${batch}`);
  const completionMask = rollout.mask("completion_mask", [batch, completion]);
  const tokens = joinColumns(prompts, completions);
  const promptMask = rollout.padded("prompt_mask", [batch, prompt], "left");
  const segments = joinColumns(promptMask, completionMask);
  const noPrompt: ArrayData = { ...promptMask, data: new Int32Array(batch * prompt) } as ArrayData;
  const seq = prompt + completion;
  return {
    shape: { batch, seq, segments: true },
    prompt,
    completion,
    sequences: inputsOf({ tokens, segments, ...shiftMasked(tokens, joinColumns(noPrompt, completionMask)) }),
    completionMask,
    placed: (values) => placeCompletion(values, prompt, seq),
    taken: (values) => takeCompletion(values, prompt, completion),
  };
}

const number = (array: ArrayData, index: number): number => ensure(array.data[index], "element");

/** Log-probabilities, entropy and divergence of given completions. */
export async function checkRollout(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { model, manifest, files, policy, reference } = bundle;
  const checks = new PartChecks("rollout", manifest);
  const expected = manifest.rollout;
  const { shape, completion, sequences, completionMask, taken } = rolloutOf(bundle);
  const dims = [shape.batch, completion];
  const graph = logProbs(model, shape, { temperature: expected.temperature });
  const run = (weights: Arrays): Promise<Arrays> => runner.run("logprobs", graph, new Map([...asParams(weights), ...sequences]));
  const [own, other] = [await run(policy), await run(reference)];
  const logps = taken(arrayOf(own, "logps"));
  checks.array("logps", logps, files.rollout.f32("logps", dims), "tokenLogp");
  checks.array("reference_logps", taken(arrayOf(other, "logps")), files.rollout.f32("reference_logps", dims), "tokenLogp");
  const entropies = taken(arrayOf(own, "entropy"));
  checks.array("entropy of tokens", entropies, files.rollout.f32("entropy", dims), "mean");
  checks.number("entropy", meanWhere(entropies, completionMask), expected.entropy, "mean");

  const mask = arrayOf(sequences, "mask");
  const klInputs = new Map([...asParams(policy), ...asParams(reference, "reference"), ...sequences, ["mask", mask] as const]);
  klInputs.delete("targets");
  const kl = taken(arrayOf(await runner.run("kl", klToReference(model, shape, expected.temperature), klInputs), "kl"));
  checks.array("kl of tokens", kl, files.rollout.f32("kl", dims), "mean");
  checks.number("kl_full", meanWhere(kl, completionMask), expected.kl_full, "mean");
  const referenceLogps = taken(arrayOf(other, "logps"));
  const gap = (lp: number, i: number): number => number(referenceLogps, i) - lp;
  checks.number(
    "kl_k1",
    meanWhere(logps, completionMask, (lp, i) => -gap(lp, i)),
    expected.kl_k1,
    "mean",
  );
  checks.number(
    "kl_k3",
    meanWhere(logps, completionMask, (lp, i) => Math.exp(gap(lp, i)) - gap(lp, i) - 1),
    expected.kl_k3,
    "mean",
  );
  const old = files.rollout.f32("old_logps", dims);
  checks.number(
    "ratio_mean",
    meanWhere(logps, completionMask, (lp, i) => Math.exp(lp - number(old, i))),
    expected.ratio_mean,
    "mean",
  );
  const mean = meanWhere(logps, completionMask);
  const { logps_mean: expectedMean, logps_without_temperature_mean } = expected.mistakes;
  checks.number("logps_mean", mean, expectedMean, "mean");
  checks.mistakes(mean, expectedMean, { logps_without_temperature_mean });
  return checks.list;
}

/** The inputs of an RL step besides its states. */
function stepInputs({ files }: PostBundle, rollout: Rollout): Arrays {
  const dims = [rollout.shape.batch, rollout.completion];
  const placed = (name: string): ArrayData => rollout.placed(files.rollout.f32(name, dims));
  return new Map([
    ...rollout.sequences,
    ["old_logps", placed("old_logps")],
    ["reference_logps", placed("reference_logps")],
    ["scores", files.rollout.f32("rewards", [rollout.shape.batch])],
  ]);
}

/** REINFORCE with a leave-one-out baseline. */
export async function checkRloo(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { model, manifest, files, update, policy } = bundle;
  const checks = new PartChecks("rloo", manifest);
  const expected = manifest.rloo;
  const rollout = rolloutOf(bundle);
  const { temperature, generations } = manifest.rollout;
  const clip = { low: expected.clip, high: expected.clip };
  const rl: RlConfig = { algorithm: "rloo", temperature, generations, beta: expected.beta, clip };
  const graph = rlStep(model, update, rollout.shape, { rl, withGradients: true });
  const states = initialStates(trainedStates(model, update), policy);
  const rest = stepInputs(bundle, rollout);
  const names = model.params.map(({ name }) => name);

  const { first, losses } = await runSteps(runner, { name: "rloo", graph, states, rest });
  checks.array("advantages", arrayOf(first, "advantages"), files.rloo.f32("advantages", [rollout.shape.batch]));
  checks.array("rloo_advantages", arrayOf(first, "advantages"), files.rollout.f32("rloo_advantages", [rollout.shape.batch]));
  checks.number("loss", scalarOf(first, "loss"), expected.loss);
  checks.gradients("gradients", gradientsOf(first, names), files.rloo.gradients(model.params));
  checks.gradientNorm("grad_norm", scalarOf(first, "grad_norm"), expected.grad_norm);
  checks.exact("clip_fraction", scalarOf(first, "clip_fraction"), expected.clip_fraction);
  checks.steps(losses, expected.step_losses);
  checks.mistakes(scalarOf(first, "loss"), expected.loss, expected.mistakes);

  // The completions as if the policy itself had drawn them. The changed scores cancel the effect of the old log-probabilities on the advantages.
  const current = arrayOf(first, "logps");
  const [old, mask, scores] = ["old_logps", "mask", "scores"].map((name) => arrayOf(rest, name)) as [ArrayData, ArrayData, ArrayData];
  const shifted = scores.data.map((score, row) => {
    let change = 0;
    for (let i = row * rollout.shape.seq; i < (row + 1) * rollout.shape.seq; i++)
      change += (number(current, i) - number(old, i)) * number(mask, i);
    return score + expected.beta * change;
  });
  const onPolicy = new Map([...rest, ["old_logps", current] as const, ["scores", f32Array(scores.dims, shifted)] as const]);
  const out = await runStep(runner, { name: "rloo", graph, states, rest: onPolicy });
  checks.number("on_policy_loss", scalarOf(out, "loss"), expected.on_policy_loss);
  checks.gradientNorm("on_policy_grad_norm", scalarOf(out, "grad_norm"), expected.on_policy_grad_norm);
  return checks.list;
}

/** Settings and inputs of a variant of GRPO, by the name that the bundle gives it. */
type GrpoVariant = Partial<Extract<RlConfig, { algorithm: "grpo" }>> & { readonly withoutTruncated?: boolean };
const grpoVariants: Readonly<Record<GrpoVariantName, GrpoVariant>> = {
  bnpo: { reduction: "bnpo" },
  dapo: { reduction: "dapo" },
  dr_grpo: { reduction: "dr_grpo" },
  kl_weighted_by_ratio: { klWeight: true },
  without_truncated: { withoutTruncated: true },
  dapo_without_truncated: { reduction: "dapo", withoutTruncated: true },
};

/** GRPO and its variants. */
export async function checkGrpo(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { model, manifest, files, update, policy } = bundle;
  const checks = new PartChecks("grpo", manifest);
  const expected = manifest.grpo;
  const rollout = rolloutOf(bundle);
  const { temperature, generations, truncated_rows: truncated } = manifest.rollout;
  const outside = truncated.find((row) => row >= rollout.shape.batch);
  if (outside !== undefined)
    throw manifestError(join(bundle.directory, "manifest.json"), `rollout.truncated_rows: the rollout has no row ${outside}`);
  const rl: Extract<RlConfig, { algorithm: "grpo" }> = {
    algorithm: "grpo",
    temperature,
    generations,
    clip: { low: expected.clip, high: expected.clip },
    beta: expected.beta,
    klWeight: false,
    reduction: "grpo",
    maxNewTokens: expected.max_completion,
  };
  const states = initialStates(trainedStates(model, update), policy);
  const mask = arrayOf(rollout.sequences, "mask");
  const kept = asF32({
    ...mask,
    data: mask.data.map((x, i) => (truncated.includes(Math.floor(i / rollout.shape.seq)) ? 0 : x)),
  } as ArrayData);
  const rest = (counted: ArrayData): Arrays => new Map([...stepInputs(bundle, rollout), ["counted", counted] as const]);
  const graph = rlStep(model, update, rollout.shape, { rl, withGradients: true });
  const names = model.params.map(({ name }) => name);

  const { first, losses } = await runSteps(runner, { name: "grpo", graph, states, rest: rest(mask) });
  checks.array("advantages", arrayOf(first, "advantages"), files.grpo.f32("advantages", [rollout.shape.batch]));
  checks.array("grpo_advantages", arrayOf(first, "advantages"), files.rollout.f32("grpo_advantages", [rollout.shape.batch]));
  checks.number("loss", scalarOf(first, "loss"), expected.loss);
  checks.gradients("gradients", gradientsOf(first, names), files.grpo.gradients(model.params));
  checks.gradientNorm("grad_norm", scalarOf(first, "grad_norm"), expected.grad_norm);
  checks.exact("clip_low", scalarOf(first, "clip_low"), expected.clip_low);
  checks.exact("clip_high", scalarOf(first, "clip_high"), expected.clip_high);
  checks.steps(losses, expected.step_losses);
  checks.mistakes(scalarOf(first, "loss"), expected.loss, expected.mistakes);

  for (const name of grpoVariantNames) {
    const { withoutTruncated = false, ...settings } = grpoVariants[name];
    const wanted = expected.variants[name];
    const variant = rlStep(model, update, rollout.shape, { rl: { ...rl, ...settings } });
    const out = await runStep(runner, { name: `grpo ${name}`, graph: variant, states, rest: rest(withoutTruncated ? kept : mask) });
    checks.number(`${name} loss`, scalarOf(out, "loss"), wanted.loss);
    checks.gradientNorm(`${name} grad_norm`, scalarOf(out, "grad_norm"), wanted.grad_norm);
  }
  for (const [key, high, loss] of bySetting(expected, clipHigherPrefix)) {
    const higher = rlStep(model, update, rollout.shape, { rl: { ...rl, clip: { low: expected.clip, high } } });
    const out = await runStep(runner, { name: `grpo ${key}`, graph: higher, states, rest: rest(mask) });
    checks.number(key, scalarOf(out, "loss"), loss);
  }
  return checks.list;
}

/** PPO: rewards of tokens, advantages, policy and value model in one step. */
export async function checkPpo(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { model, manifest, files, update, policy, reward } = bundle;
  const checks = new PartChecks("ppo", manifest);
  const expected = manifest.ppo;
  const rollout = rolloutOf(bundle);
  const dims = [rollout.shape.batch, rollout.completion];
  const rl: RlConfig = {
    algorithm: "ppo",
    temperature: manifest.rollout.temperature,
    clip: { low: expected.clip, high: expected.clip },
    clipValue: expected.clip_value,
    valueWeight: expected.vf_coef,
    klCoef: expected.kl_coef,
    gamma: expected.gamma,
    lambda: expected.lambda,
  };
  const both = withValueModel(model);
  const valueWeights = new Map([...reward].map(([name, array]) => [`${valueSet}.${name}`, array] as const));
  const states = initialStates(trainedStates(both, update), new Map([...policy, ...valueWeights]));
  const graph = rlStep(model, update, rollout.shape, { rl, withGradients: true });
  const rest = new Map([...stepInputs(bundle, rollout), ["old_values", rollout.placed(files.ppo.f32("old_values", dims))] as const]);
  const out = await runStep(runner, { name: "ppo", graph, states, rest });
  for (const name of ["values", "token_rewards", "gae", "returns", "advantages"])
    checks.array(name, rollout.taken(arrayOf(out, name)), files.ppo.f32(name, dims));
  for (const name of ["loss", "policy_loss", "value_loss"] as const) checks.number(name, scalarOf(out, name), expected[name]);
  for (const name of ["clip_fraction", "value_clip_fraction"] as const) checks.exact(name, scalarOf(out, name), expected[name]);
  const names = both.params.map(({ name }) => name);
  checks.gradients("gradients", gradientsOf(out, names), files.ppo.gradients(both.params));
  checks.gradientNorm("grad_norm", scalarOf(out, "grad_norm"), expected.grad_norm);
  return checks.list;
}
