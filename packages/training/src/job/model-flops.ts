import { buildModel, layerTypesOf, type ModelConfig, parameterCount } from "@lapidary/models";
import type { ResolvedJob } from "./resolved-job.js";

/** Useful flops of a step of training, from the configuration of its model: the numerator of MFU (Chowdhery et al. 2022, appendix B). */
export interface StepFlops {
  readonly parameters: number;
  readonly activeParameters: number;
  readonly tokens: number;
  /** 6 · active parameters · tokens. */
  readonly weights: number;
  /** Every score; in a layer with a window, those of the window. */
  readonly attention: number;
  /** The scores that the causal mask leaves. */
  readonly causalAttention: number;
  readonly rule: "model";
}

/** Parameters that a token uses: of the experts of each layer, `per_token`. */
export function activeParameters(config: ModelConfig): number {
  const model = buildModel(config);
  const { experts } = config;
  if (experts === undefined) return parameterCount(model);
  return model.params.reduce((n, { dims, parts }) => {
    const size = dims.reduce((a, b) => a * b, 1);
    return n + (parts === undefined ? size : (size / experts.count) * experts.perToken);
  }, 0);
}

/**
 * A query has S scores in a full layer, and min(S, w) in a layer with a window of w. The causal mask leaves S / 2 of them on average, and
 * w − w² / 2S of a window. A score costs 12 · heads · head dim flops: two matmuls, forward and backward.
 */
export function stepFlops(config: ModelConfig, { batch, seq }: { readonly batch: number; readonly seq: number }): StepFlops {
  const [tokens, active] = [batch * seq, activeParameters(config)];
  const windows = layerTypesOf(config).map((type) => Math.min(seq, type === "window" ? (config.window ?? seq) : seq));
  const perScore = 12 * config.heads * config.headDim * tokens;
  const sum = (scoresOf: (window: number) => number): number => perScore * windows.reduce((n, window) => n + scoresOf(window), 0);
  return {
    parameters: parameterCount(buildModel(config)),
    activeParameters: active,
    tokens,
    weights: 6 * active * tokens,
    attention: sum((window) => window),
    causalAttention: sum((window) => window - window ** 2 / (2 * seq)),
    rule: "model",
  };
}

/** The useful flops of the step of a job; undefined if its step is not one forward and backward pass of all weights. */
export const flopsOfJob = ({
  recipe,
  lora,
  model,
  train,
}: Pick<ResolvedJob, "recipe" | "lora" | "model" | "train">): StepFlops | undefined =>
  (recipe === undefined || recipe === "sft") && lora === undefined ? stepFlops(model.config, train) : undefined;
