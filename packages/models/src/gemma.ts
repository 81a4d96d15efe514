import type { GraphBuilder, Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { GemmaConfig } from "./gemma-config.js";
import { attendToOf, attention, attentionTables } from "./layers/attention.js";
import { geglu } from "./layers/geglu.js";
import { rmsNorm } from "./layers/rms-norm.js";
import type { Projection } from "./layers/projection.js";
import type { HiddenOptions, Model, ParamInit, ParamSpec, ParamValues } from "./model.js";

/** The logical axes of parameters, batch and activations of a Gemma. Rules may name these axes. */
export const gemmaLogicalAxes = [
  "batch",
  "seq",
  "vocab",
  "embed",
  "heads",
  "kv_heads",
  "mlp",
  "norm",
  "activation_seq",
  "activation_embed",
] as const;

/** Logical axes of the residual stream [B, T, D]. Their names differ from those of params and batch, so that rules for these leave activations alone. */
const residual = ["batch", "activation_seq", "activation_embed"] as const;

/**
 * Gemma 1 (Gemma Team 2024, "Gemma: Open Models Based on Gemini Research and Technology"):
 *
 *     tokens ─► embed · √D ─► [ x += attention(norm x) ; x += geglu(norm x) ] × layers ─► norm ─► · embedᵀ ─► logits
 */
export function gemma(config: GemmaConfig): Model {
  return {
    vocabSize: config.vocabSize,
    contextLength: config.contextLength,
    params: gemmaParams(config),
    attention: { blocks: config.layers, kvHeads: config.kvHeads, headDim: config.headDim },
    hidden: (g, params, tokens, options = {}) => hidden(g, config, { params, tokens, options }),
    unembed: (g, params, x) => unembed(g, params, x),
  };
}

const embedding = "model.embed_tokens.weight";

/** Parameters in the order of a Hugging Face checkpoint. */
export function gemmaParams(config: GemmaConfig): ParamSpec[] {
  const { vocabSize: V, modelDim: D, heads: H, kvHeads: K, headDim: E, mlpDim: F, layers } = config;
  // Matmuls then preserve the scale of their operand. The two that add to the residual stream are scaled by the number of layers.
  const fanIn = (width: number): ParamInit => ({ kind: "normal", scale: 1 / Math.sqrt(width) });
  const intoResidual = (width: number): ParamInit => ({ kind: "normal", scale: 1 / Math.sqrt(width * 2 * layers) });
  // The rows of a query projection are H whole heads, which rules never divide.
  const [heads, kvHeads] = [`heads/${H}`, `kv_heads/${K}`];
  const norm = (name: string): ParamSpec => ({ name, dims: [D], logicalAxes: ["norm"], init: { kind: "zeros" } });
  return [
    // The embedding is tied. With half the usual scale the first logits are nearly uniform, and the token does not dominate the residual stream.
    { name: embedding, dims: [V, D], logicalAxes: ["vocab", "embed"], init: { kind: "normal", scale: 0.5 / Math.sqrt(D) } },
    ...Array.from({ length: layers }, (_, i): ParamSpec[] => {
      const at = (name: string): string => `model.layers.${i}.${name}.weight`;
      const specs: ParamSpec[] = [
        { name: at("self_attn.q_proj"), dims: [H * E, D], logicalAxes: [heads, "embed"], init: fanIn(D) },
        { name: at("self_attn.k_proj"), dims: [K * E, D], logicalAxes: [kvHeads, "embed"], init: fanIn(D) },
        { name: at("self_attn.v_proj"), dims: [K * E, D], logicalAxes: [kvHeads, "embed"], init: fanIn(D) },
        { name: at("self_attn.o_proj"), dims: [D, H * E], logicalAxes: ["embed", heads], init: intoResidual(H * E) },
        { name: at("mlp.gate_proj"), dims: [F, D], logicalAxes: ["mlp", "embed"], init: fanIn(D) },
        { name: at("mlp.up_proj"), dims: [F, D], logicalAxes: ["mlp", "embed"], init: fanIn(D) },
        { name: at("mlp.down_proj"), dims: [D, F], logicalAxes: ["embed", "mlp"], init: intoResidual(F) },
        norm(at("input_layernorm")),
        norm(at("post_attention_layernorm")),
      ];
      return specs.map((spec) => ({ ...spec, block: i }));
    }).flat(),
    norm("model.norm.weight"),
  ];
}

interface HiddenInputs {
  readonly params: ParamValues;
  readonly tokens: Value;
  readonly options: HiddenOptions;
}

function hidden(g: GraphBuilder, config: GemmaConfig, { params, tokens, options }: HiddenInputs): Value {
  const param = (name: string): Value => ensure(params.get(name), `parameter ${name}`);
  const tables = attentionTables(g, tokens.type.dims[1] ?? 0, config, options);
  const shape = { kvHeads: config.kvHeads, groups: config.heads / config.kvHeads, headDim: config.headDim };

  let x = g.scope("embed", () => g.named("x", g.scale(g.gather(param(embedding), tokens), Math.sqrt(config.modelDim)), residual));
  for (let i = 0; i < config.layers; i++)
    g.block("layers", i, () => {
      const at = (name: string): string => `model.layers.${i}.${name}.weight`;
      const projection = (name: string): Projection => ({ weight: param(at(name)), adapter: options.adapters?.get(at(name)) });
      const attended = g.scope("attn", () => {
        const y = g.named("norm", rmsNorm(g, x, param(at("input_layernorm")), config.normEps));
        const weights = {
          q: projection("self_attn.q_proj"),
          k: projection("self_attn.k_proj"),
          v: projection("self_attn.v_proj"),
          o: projection("self_attn.o_proj"),
        };
        return attention(g, y, weights, shape, tables, attendToOf(options, i));
      });
      x = g.named("after_attn", g.add(x, attended), residual);
      const fed = g.scope("mlp", () => {
        const y = g.named("norm", rmsNorm(g, x, param(at("post_attention_layernorm")), config.normEps));
        return geglu(g, y, { gate: projection("mlp.gate_proj"), up: projection("mlp.up_proj"), down: projection("mlp.down_proj") });
      });
      x = g.named("after_mlp", g.add(x, fed), residual);
    });
  return g.scope("final", () => g.named("norm", rmsNorm(g, x, param("model.norm.weight"), config.normEps), residual));
}

/** The embedding is tied: logits are the matmul with its rows. */
function unembed(g: GraphBuilder, params: ParamValues, x: Value): Value {
  const table = ensure(params.get(embedding), `parameter ${embedding}`);
  const last = x.type.dims.length - 1;
  const axes = last === 2 ? (["batch", "seq", "vocab"] as const) : (["batch", "vocab"] as const);
  return g.named("logits", g.dotGeneral(x, table, [], [[last, 1]]), axes);
}
