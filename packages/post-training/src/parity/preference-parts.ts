import { type ArrayData, f32Array } from "@lapidary/interop";
import type { GraphRunner } from "@lapidary/training";
import { logProbs, score } from "../programs/evaluations.js";
import { dpoStep, rewardStep } from "../programs/preference-steps.js";
import { scoreParams } from "../programs/score-model.js";
import { trainedStates } from "../programs/trained-model.js";
import type { PostBundle } from "./bundle.js";
import { PartChecks, type PostCheck } from "./checks.js";
import { type Arrays, arrayOf, asParams, gradientsOf, initialStates, inputsOf, runStep, runSteps, scalarOf } from "./context.js";
import { bySetting, centerPrefix, smoothedPrefix } from "./manifest.js";
import { matrixDims, shiftMasked, sumRows } from "./rows.js";

const filled = (dims: readonly number[], value: number): ArrayData =>
  f32Array(dims, new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(value));

/** The reward model: scores, Bradley–Terry loss, margin, centering. */
export async function checkReward(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { config, model, manifest, files, update, reward } = bundle;
  const checks = new PartChecks("reward", manifest);
  const expected = manifest.reward;
  const tokens = files.reward_model.groupedTokens("input_ids", config.vocabSize, 2);
  const [batch, seq] = matrixDims(tokens);
  const shape = { batch, seq, segments: false };
  const scored = { params: scoreParams(model) };
  const states = initialStates(trainedStates(scored, update), reward);
  const names = scored.params.map(({ name }) => name);
  files.reward_model.padded("attention_mask", [batch, seq], "right");
  const last = files.reward_model.within("last", [batch], 0, seq - 1);
  const inputs = (margin: ArrayData): Arrays => inputsOf({ tokens, last, margin });
  const none = filled([batch / 2], 0);

  const graph = rewardStep(model, update, shape, { withGradients: true });
  const { first, losses } = await runSteps(runner, { name: "reward", graph, states, rest: inputs(none) });
  checks.number("loss", scalarOf(first, "loss"), expected.loss);
  checks.exact("accuracy", scalarOf(first, "accuracy"), expected.accuracy);
  checks.array("scores", arrayOf(first, "scores"), files.reward_model.f32("scores", [batch]));
  checks.gradients("gradients", gradientsOf(first, names), files.reward_model.gradients(scored.params));
  checks.gradientNorm("grad_norm", scalarOf(first, "grad_norm"), expected.grad_norm);
  checks.steps(losses, expected.step_losses);
  checks.mistakes(scalarOf(first, "loss"), expected.loss, expected.mistakes);

  const scoring = new Map([...asParams(reward), ...inputsOf({ tokens, last })]);
  const scores = arrayOf(await runner.run("score", score(model, shape), scoring), "scores");
  checks.array("scores of the frozen model", scores, files.reward_model.f32("scores", [batch]));

  const margin = files.reward_model.f32("margin", [batch / 2]);
  const withMargin = await runStep(runner, { name: "reward", graph, states, rest: inputs(margin) });
  checks.number("loss_with_margin", scalarOf(withMargin, "loss"), expected.loss_with_margin);
  for (const [key, center, loss] of bySetting(expected, centerPrefix)) {
    const centered = rewardStep(model, update, shape, { center });
    const withCenter = await runStep(runner, { name: `reward ${key}`, graph: centered, states, rest: inputs(none) });
    checks.number(key, scalarOf(withCenter, "loss"), loss);
  }
  return checks.list;
}

/** Direct preference optimization: sigmoid, smoothed, IPO. */
export async function checkDpo(bundle: PostBundle, runner: GraphRunner): Promise<PostCheck[]> {
  const { config, model, manifest, files, update, policy, reference } = bundle;
  const checks = new PartChecks("dpo", manifest);
  const expected = manifest.dpo;
  const tokens = files.dpo.groupedTokens("input_ids", config.vocabSize, 2);
  const [batch, seq] = matrixDims(tokens);
  const shape = { batch, seq, segments: false };
  files.dpo.padded("attention_mask", [batch, seq], "right");
  const sequences = inputsOf({ tokens, ...shiftMasked(tokens, files.dpo.mask("completion_mask", tokens.dims)) });
  const states = initialStates(trainedStates(model, update), policy);
  const dpo = { beta: expected.beta, loss: "sigmoid", smoothing: 0 } as const;

  const ofReference = await runner.run(
    "logprobs of pairs",
    logProbs(model, shape, { temperature: 1 }),
    new Map([...asParams(reference), ...sequences]),
  );
  const referenceLogps = sumRows(arrayOf(ofReference, "logps"));
  checks.array("reference_logps", referenceLogps, files.dpo.f32("reference_logps", [batch]), "rowLogp");
  const rest = new Map([...sequences, ["reference_logps", referenceLogps] as const]);
  const graph = dpoStep(model, update, shape, { dpo, withGradients: true });
  const { first, losses } = await runSteps(runner, { name: "dpo", graph, states, rest });
  checks.number("loss", scalarOf(first, "loss"), expected.loss);
  checks.exact("accuracy", scalarOf(first, "accuracy"), expected.accuracy);
  checks.array("logps", arrayOf(first, "logps"), files.dpo.f32("logps", [batch]), "rowLogp");
  const names = model.params.map(({ name }) => name);
  checks.gradients("gradients", gradientsOf(first, names), files.dpo.gradients(model.params));
  checks.gradientNorm("grad_norm", scalarOf(first, "grad_norm"), expected.grad_norm);
  checks.steps(losses, expected.step_losses);
  const rewards = [...arrayOf(first, "rewards").data];
  const mean = (from: number): number => rewards.slice(from, from + batch / 2).reduce((sum, x) => sum + x, 0) / (batch / 2);
  checks.number("rewards_chosen", mean(0), expected.rewards_chosen);
  checks.number("rewards_rejected", mean(batch / 2), expected.rewards_rejected);
  checks.mistakes(scalarOf(first, "loss"), expected.loss, expected.mistakes);

  const lossOf = async (name: string, settings: Parameters<typeof dpoStep>[3]["dpo"]): Promise<number> =>
    scalarOf(await runStep(runner, { name: `dpo ${name}`, graph: dpoStep(model, update, shape, { dpo: settings }), states, rest }), "loss");
  for (const [key, smoothing, loss] of bySetting(expected, smoothedPrefix))
    checks.number(key, await lossOf(key, { ...dpo, smoothing }), loss);
  checks.number("ipo_loss", await lossOf("ipo", { ...dpo, loss: "ipo" }), expected.ipo_loss);
  return checks.list;
}
