import type { GraphBuilder, Value } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import type { DecoderConfig } from "./decoder-config.js";
import { attend, attendToOf, attentionTables } from "./layers/attention.js";
import { rmsNorm } from "./layers/rms-norm.js";
import { swiglu } from "./layers/swiglu.js";
import type { HiddenOptions, Model, ParamInit, ParamSpec, ParamValues } from "./model.js";

/** Logical axes of the residual stream [B, T, D]. */
const residual = ["batch", "activation_seq", "activation_embed"] as const;

/**
 * A Llama decoder, as in the published MaxText runs: RMSNorm, RoPE, SwiGLU, a separate output projection.
 *
 *     tokens ─► embed ─► [ x += attention(norm x) ; x += swiglu(norm x) ] × layers ─► norm ─► · outputᵀ ─► logits
 *
 * With `fusedProjections` q, k and v are one array [3, H·E, D], and gate and up are another, [2, F, D]. Their first dim is
 * never split.
 */
export function decoder(config: DecoderConfig): Model {
  assert(
    !config.fusedProjections || config.heads === config.kvHeads,
    "q, k and v in one array have one shape",
    config.heads,
    config.kvHeads,
  );
  return {
    vocabSize: config.vocabSize,
    contextLength: config.contextLength,
    params: decoderParams(config),
    attention: { blocks: config.layers, kvHeads: config.kvHeads, headDim: config.headDim },
    hidden: (g, params, tokens, options = {}) => hidden(g, config, { params, tokens, options }),
    unembed: (g, params, x) => unembed(g, params, x),
  };
}

const embedding = "model.embed_tokens.weight";
const output = "lm_head.weight";

function decoderParams(config: DecoderConfig): ParamSpec[] {
  const { vocabSize: V, modelDim: D, heads: H, kvHeads: K, headDim: E, mlpDim: F, layers } = config;
  const fanIn = (width: number): ParamInit => ({ kind: "normal", scale: 1 / Math.sqrt(width) });
  const intoResidual = (width: number): ParamInit => ({ kind: "normal", scale: 1 / Math.sqrt(width * 2 * layers) });
  const [heads, kvHeads] = [`heads/${H}`, `kv_heads/${K}`];
  const norm = (name: string): ParamSpec => ({ name, dims: [D], logicalAxes: ["norm"], init: { kind: "zeros" } });
  const projections = (at: (name: string) => string): ParamSpec[] =>
    config.fusedProjections
      ? [
          { name: at("self_attn.qkv_proj"), dims: [3, H * E, D], logicalAxes: [null, heads, "embed"], init: fanIn(D) },
          { name: at("self_attn.o_proj"), dims: [D, H * E], logicalAxes: ["embed", heads], init: intoResidual(H * E) },
          { name: at("mlp.gate_up_proj"), dims: [2, F, D], logicalAxes: [null, "mlp", "embed"], init: fanIn(D) },
        ]
      : [
          { name: at("self_attn.q_proj"), dims: [H * E, D], logicalAxes: [heads, "embed"], init: fanIn(D) },
          { name: at("self_attn.k_proj"), dims: [K * E, D], logicalAxes: [kvHeads, "embed"], init: fanIn(D) },
          { name: at("self_attn.v_proj"), dims: [K * E, D], logicalAxes: [kvHeads, "embed"], init: fanIn(D) },
          { name: at("self_attn.o_proj"), dims: [D, H * E], logicalAxes: ["embed", heads], init: intoResidual(H * E) },
          { name: at("mlp.gate_proj"), dims: [F, D], logicalAxes: ["mlp", "embed"], init: fanIn(D) },
          { name: at("mlp.up_proj"), dims: [F, D], logicalAxes: ["mlp", "embed"], init: fanIn(D) },
        ];
  return [
    { name: embedding, dims: [V, D], logicalAxes: ["vocab", "embed"], init: fanIn(D) },
    ...Array.from({ length: layers }, (_, i): ParamSpec[] => {
      const at = (name: string): string => `model.layers.${i}.${name}.weight`;
      const specs: ParamSpec[] = [
        ...projections(at),
        { name: at("mlp.down_proj"), dims: [D, F], logicalAxes: ["embed", "mlp"], init: intoResidual(F) },
        norm(at("input_layernorm")),
        norm(at("post_attention_layernorm")),
      ];
      return specs.map((spec) => ({ ...spec, block: i }));
    }).flat(),
    norm("model.norm.weight"),
    { name: output, dims: [V, D], logicalAxes: ["vocab", "embed"], init: fanIn(D) },
  ];
}

interface HiddenInputs {
  readonly params: ParamValues;
  readonly tokens: Value;
  readonly options: HiddenOptions;
}

function hidden(g: GraphBuilder, config: DecoderConfig, { params, tokens, options }: HiddenInputs): Value {
  assert(options.adapters === undefined, "adapters change the projections of a Gemma only");
  const param = (name: string): Value => ensure(params.get(name), `parameter ${name}`);
  const tables = attentionTables(g, tokens.type.dims[1] ?? 0, config, options);
  const shape = { kvHeads: config.kvHeads, groups: config.heads / config.kvHeads, headDim: config.headDim };

  let x = g.scope("embed", () => g.named("x", g.gather(param(embedding), tokens), residual));
  for (let i = 0; i < config.layers; i++)
    g.block("layers", i, () => {
      const weight = (name: string): Value => param(`model.layers.${i}.${name}.weight`);
      const attended = g.scope("attn", () => {
        const y = g.named("norm", rmsNorm(g, x, weight("input_layernorm"), config.normEps));
        const [q, k, v] = config.fusedProjections
          ? splitProjection(g, "qkv", y, weight("self_attn.qkv_proj"), "heads")
          : [
              project(g, "q", y, weight("self_attn.q_proj"), "heads"),
              project(g, "k", y, weight("self_attn.k_proj"), "kv_heads"),
              project(g, "v", y, weight("self_attn.v_proj"), "kv_heads"),
            ];
        const projected = { q: ensure(q, "q"), k: ensure(k, "k"), v: ensure(v, "v") };
        const o = { weight: weight("self_attn.o_proj") };
        return attend(g, x.type.dims, (name) => projected[name], { o, shape, tables, attendTo: attendToOf(options, i) });
      });
      x = g.named("after_attn", g.add(x, attended), residual);
      const fed = g.scope("mlp", () => {
        const y = g.named("norm", rmsNorm(g, x, weight("post_attention_layernorm"), config.normEps));
        const [gate, up] = config.fusedProjections
          ? splitProjection(g, "gate_up", y, weight("mlp.gate_up_proj"), "mlp")
          : [project(g, "gate", y, weight("mlp.gate_proj"), "mlp"), project(g, "up", y, weight("mlp.up_proj"), "mlp")];
        return swiglu(g, ensure(gate, "gate"), ensure(up, "up"), weight("mlp.down_proj"));
      });
      x = g.named("after_mlp", g.add(x, fed), residual);
    });
  return g.scope("final", () => g.named("norm", rmsNorm(g, x, param("model.norm.weight"), config.normEps), residual));
}

const project = (g: GraphBuilder, name: string, x: Value, weight: Value, axis: string): Value =>
  g.named(name, g.dotGeneral(x, weight, [], [[2, 1]]), ["batch", "seq", axis]);

/** One matmul with n arrays stacked in `weight` [n, out, D]: its n parts [B, T, out]. */
function splitProjection(g: GraphBuilder, name: string, x: Value, weight: Value, axis: string): Value[] {
  const all = g.named(name, g.dotGeneral(x, weight, [], [[2, 2]]), ["batch", "seq", null, axis]);
  const [B = 0, T = 0, n = 0, out = 0] = all.type.dims;
  return Array.from({ length: n }, (_, i) => g.reshape(g.slice(all, [0, 0, i, 0], [B, T, i + 1, out]), [B, T, out]));
}

/** Hidden state [..., D] → logits [..., V]. */
function unembed(g: GraphBuilder, params: ParamValues, x: Value): Value {
  const last = x.type.dims.length - 1;
  const axes = last === 2 ? (["batch", "seq", "vocab"] as const) : (["batch", "vocab"] as const);
  return g.named("logits", g.dotGeneral(x, ensure(params.get(output), `parameter ${output}`), [], [[last, 1]]), axes);
}
