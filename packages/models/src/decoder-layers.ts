import type { GraphBuilder, Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { embedding, type ExpertPart, expertStack, finalNorm, layerNorms, layerWeight } from "./decoder-params.js";
import { attend, type AttentionTables, attendToOf, attentionTables } from "./layers/attention.js";
import type { HeadExchange } from "./layers/head-exchange.js";
import { gatedMlp } from "./layers/gated-mlp.js";
import { type Projection, project } from "./layers/projection.js";
import { rmsNorm } from "./layers/rms-norm.js";
import { applyExperts } from "./layers/experts.js";
import { route } from "./layers/routing.js";
import { expertsOf, layerTypeOf, type LayerType, type ModelConfig, traitsOf } from "./model-config.js";
import type { Dispatch, HiddenOptions, ParamValues } from "./model.js";
import type { PipelineShape } from "./pipeline/pipeline.js";

/** Logical axes of the residual stream [B, T, D]. Their names differ from those of params and batch, so that rules for these leave activations alone. */
export const residual = ["batch", "activation_seq", "activation_embed"] as const;

/** Choices of a program that change how a model is computed, not its parameters. */
export interface BuildOptions {
  /** How tokens reach the experts of a mixture; `dense` by default. */
  readonly dispatch?: Dispatch | undefined;
  /** Context parallelism by heads: how attention exchanges positions for heads. Absent: it does not. */
  readonly headExchange?: HeadExchange | undefined;
  /** Context parallelism by a ring: parts of a row, one for each chip of the axes that split it. Absent: no ring. */
  readonly ringParts?: number | undefined;
  /** Parts of a row whose order a train step balances. Absent: rows keep their order. */
  readonly balancedParts?: number | undefined;
  /** The layers are stages of a pipeline. Absent: they are not. */
  readonly pipeline?: PipelineShape | undefined;
}

/** What the layers of one pass share. */
interface Pass {
  readonly params: ParamValues;
  readonly options: HiddenOptions;
  readonly dispatch: Dispatch;
  readonly headExchange: HeadExchange | undefined;
  readonly tablesOf: (type: LayerType) => AttentionTables;
}

/** @param positions T of the residual stream [B, T, D] */
export function makePass(
  g: GraphBuilder,
  config: ModelConfig,
  { dispatch = { kind: "dense" }, headExchange, ringParts }: BuildOptions,
  params: ParamValues,
  positions: number,
  options: HiddenOptions,
): Pass {
  return { params, options, dispatch, headExchange, tablesOf: attentionTables(g, positions, config, options, ringParts) };
}

/** tokens i32[B, T] → residual stream [B, T, D] */
export function embedTokens(g: GraphBuilder, config: ModelConfig, params: ParamValues, tokens: Value): Value {
  return g.scope("embed", () => {
    const rows = g.gather(ensure(params.get(embedding), `parameter ${embedding}`), tokens);
    return g.named("x", traitsOf(config).scaledEmbedding ? g.scale(rows, Math.sqrt(config.modelDim)) : rows, residual);
  });
}

/** The residual stream after the last layer, normalised. */
export const finalNormed = (g: GraphBuilder, config: ModelConfig, params: ParamValues, x: Value): Value =>
  g.scope("final", () => {
    const weight = ensure(params.get(finalNorm), `parameter ${finalNorm}`);
    return g.named("norm", rmsNorm(g, x, weight, { norm: traitsOf(config).norm, eps: config.normEps }), residual);
  });

/** The residual stream [B, T, D] after layer `i`. */
export function decoderLayer(g: GraphBuilder, config: ModelConfig, i: number, before: Value, pass: Pass): Value {
  const { params, options, dispatch, headExchange, tablesOf } = pass;
  const { norm: kind, qkNorm, activation } = traitsOf(config);
  const param = (name: string): Value => ensure(params.get(name), `parameter ${name}`);
  const normOf = (x: Value, name: string): Value => rmsNorm(g, x, param(name), { norm: kind, eps: config.normEps });
  const { kvHeads, headDim, attentionCap: cap } = config;
  const shape = { kvHeads, groups: config.heads / kvHeads, headDim, cap };
  const norms = layerNorms(config);

  return g.block("layers", i, () => {
    const at = (name: string): string => layerWeight(i, name);
    const projection = (name: string): Projection => ({ weight: param(at(name)), adapter: options.adapters?.get(at(name)) });
    const normed = (value: Value, name: string): Value => normOf(value, at(name));
    const projected = (value: Value, name: string, weight: string, axis: string): Value =>
      project(g, name, value, projection(weight), ["batch", "seq", axis]);

    const attended = g.scope("attn", () => {
      const y = g.named("norm", normed(before, norms.beforeAttention));
      const fused = config.fusedProjections === true ? splitProjection(g, "qkv", y, param(at("self_attn.qkv_proj")), "heads") : undefined;
      const out = attend(
        g,
        before.type.dims,
        (name) =>
          fused === undefined
            ? projected(y, name, `self_attn.${name}_proj`, name === "q" ? "heads" : "kv_heads")
            : ensure(fused[["q", "k", "v"].indexOf(name)], name),
        {
          o: projection("self_attn.o_proj"),
          shape,
          tables: tablesOf(layerTypeOf(config, i)),
          normalizeHeads: qkNorm ? (heads, of) => normed(heads, `self_attn.${of}_norm`) : undefined,
          exchange: headExchange,
          attendTo: attendToOf(options, i),
        },
      );
      return norms.afterAttention === undefined ? out : g.named("post_norm", normed(out, norms.afterAttention));
    });
    const x = g.named("after_attn", g.add(before, attended), residual);
    const fed = g.scope("mlp", () => {
      const y = g.named("norm", normed(x, norms.beforeMlp));
      const experts = expertsOf(config, i);
      if (experts !== undefined) {
        const names = ensure(traitsOf(config).experts, "names of experts");
        const routing = route(g, project(g, "router", y, projection(names.router)), experts.perToken);
        const stack = (part: ExpertPart): Projection => projection(expertStack(names, part));
        const stacks = { gate: stack("gate"), up: stack("up"), down: stack("down") };
        const { output, load } = applyExperts(g, y, routing, stacks, { dispatch, normalize: experts.normalize });
        options.onRouting?.(routing, load);
        return output;
      }
      const fused = config.fusedProjections === true ? splitProjection(g, "gate_up", y, param(at("mlp.gate_up_proj")), "mlp") : undefined;
      const out = gatedMlp(
        g,
        (name) => (fused === undefined ? projected(y, name, `mlp.${name}_proj`, "mlp") : ensure(fused[["gate", "up"].indexOf(name)], name)),
        projection("mlp.down_proj"),
        activation,
      );
      return norms.afterMlp === undefined ? out : g.named("post_norm", normed(out, norms.afterMlp));
    });
    return g.named("after_mlp", g.add(x, fed), residual);
  });
}

/** One matmul with n arrays stacked in `weight` [n, out, D]: its n parts [B, T, out]. */
function splitProjection(g: GraphBuilder, name: string, x: Value, weight: Value, axis: string): Value[] {
  const all = g.named(name, g.dotGeneral(x, weight, [], [[2, 2]]), ["batch", "seq", null, axis]);
  const [B = 0, T = 0, n = 0, out = 0] = all.type.dims;
  return Array.from({ length: n }, (_, i) => g.reshape(g.slice(all, [0, 0, i, 0], [B, T, i + 1, out]), [B, T, out]));
}
