import { type Graph, GraphBuilder, type Value } from "@lapidary/ir";
import { type LoraConfig, type Model, type ParamValues, logitsOf, loraAdapters, loraParams } from "@lapidary/models";
import { entropy, fullKl, tokenLogProbs } from "../losses/log-probs.js";
import { type SequenceShape, batchInput, sequenceInputs, targetInputs } from "./inputs.js";
import { rowScores, scoreParams, tokenScores } from "./score-model.js";
import { adaptedModel, setParameters, withAdapters } from "./trained-model.js";

export interface LogProbsOptions {
  /** Of the logits. */
  readonly temperature: number;
  readonly lora?: LoraConfig | undefined;
}

/**
 * Log-probabilities and entropies of the targets, 0 where the mask is 0.
 *
 *     params  tokens  targets  mask  (segments)   →   logps f32[B, T]  entropy f32[B, T]
 */
export function logProbs(model: Model, shape: SequenceShape, { temperature, lora }: LogProbsOptions): Graph {
  const g = new GraphBuilder("logprobs");
  const weights = setParameters(g, model.params);
  const adapters = lora === undefined ? undefined : loraAdapters(model, lora, setParameters(g, loraParams(model, lora)));
  const { tokens, options } = sequenceInputs(g, shape);
  const { targets, mask } = targetInputs(g, shape);
  const logits = logitsOf(model, g, weights, tokens, withAdapters(options, adapters));
  g.output("logps", g.multiply(tokenLogProbs(g, logits, targets, temperature), mask));
  g.output("entropy", g.multiply(entropy(g, logits, temperature), mask));
  return g.finish();
}

/**
 * The divergence of the policy from the reference over the whole vocabulary, 0 where the mask is 0.
 *
 *     params  reference.params  tokens  mask  (segments)   →   kl f32[B, T], nats
 */
export function klToReference(model: Model, shape: SequenceShape, temperature: number): Graph {
  const g = new GraphBuilder("kl");
  const [policy, reference] = [setParameters(g, model.params), setParameters(g, model.params, "reference")];
  const { tokens, options } = sequenceInputs(g, shape);
  const mask = batchInput(g, "mask", "f32", [shape.batch, shape.seq]);
  const logits = (name: string, weights: ParamValues): Value => g.scope(name, () => logitsOf(model, g, weights, tokens, options));
  g.output("kl", g.multiply(fullKl(g, logits("policy", policy), logits("reference", reference), temperature), mask));
  return g.finish();
}

/**
 * What an update reads of a rollout, and its distance from the reference: one program, so that both models run once. With an adapter, the reference is
 * the same weights without it, so that the program has no second set of weights.
 *
 *     params  reference.params  tokens  targets  mask  (segments)   →   logps  reference_logps  entropy  kl, each f32[B, T], 0 where the mask is 0
 */
export function rolloutLogProbs(model: Model, shape: SequenceShape, { temperature, lora }: LogProbsOptions): Graph {
  const g = new GraphBuilder("rollout_logprobs");
  const adapted = adaptedModel(model, lora);
  const policy = setParameters(g, adapted.params);
  const reference = lora === undefined ? setParameters(g, model.params, "reference") : policy;
  const { tokens, options } = sequenceInputs(g, shape);
  const { targets, mask } = targetInputs(g, shape);
  const own = g.scope("policy", () => logitsOf(adapted, g, policy, tokens, options));
  const other = g.scope("reference", () => logitsOf(model, g, reference, tokens, options));
  g.output("logps", g.multiply(tokenLogProbs(g, own, targets, temperature), mask));
  g.output("reference_logps", g.multiply(tokenLogProbs(g, other, targets, temperature), mask));
  g.output("entropy", g.multiply(entropy(g, own, temperature), mask));
  g.output("kl", g.multiply(fullKl(g, own, other, temperature), mask));
  return g.finish();
}

/**
 * The scores of a reward model, or the values of a value model.
 *
 *     params  tokens  last i32[B]  (segments)   →   scores f32[B]  token_scores f32[B, T]
 *
 * @param lora the adapter of the trunk
 */
export function score(model: Model, shape: SequenceShape, { lora }: Pick<LogProbsOptions, "lora"> = {}): Graph {
  const g = new GraphBuilder("score");
  const adapted = adaptedModel(model, lora);
  const weights = setParameters(g, scoreParams(adapted));
  const perToken = tokenScores(g, adapted, weights, sequenceInputs(g, shape));
  g.output("scores", rowScores(g, perToken, batchInput(g, "last", "i32", [shape.batch])));
  g.output("token_scores", perToken);
  return g.finish();
}
