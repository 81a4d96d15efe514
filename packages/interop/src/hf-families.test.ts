import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { canonicalConfig, layerTypesOf, type ModelConfig, modelConfigSchema, ropeOf } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { hfJsonText, modelConfigFromHf, modelConfigToHf, parseHfConfig } from "./hf-config.js";
import { hfFamilies } from "./hf-families.js";

const bundles = ["gemma2", "gemma3", "llama", "qwen3", "mixtral", "qwen3moe"] as const;
type Json = Record<string, unknown>;

const jsonOf = (bundle: string): Json =>
  JSON.parse(readFileSync(new URL(`../../../e2e/golden/families/${bundle}/config.json`, import.meta.url), "utf8")) as Json;
const read = (json: Json): ModelConfig => modelConfigFromHf(JSON.parse(JSON.stringify(json)));

const rejects = (json: Json, key: string): void =>
  throws(
    () => read(json),
    (error) => {
      ok(error instanceof LapidaryError, String(error));
      deepStrictEqual([error.code, error.location], ["LAP_CHECKPOINT_CONFIG", `config.json: ${key}`], error.message);
      return true;
    },
  );

const dims = { vocabSize: 32, modelDim: 8, layers: 5, heads: 4, kvHeads: 2, headDim: 4, mlpDim: 12, contextLength: 16 };
const rope = fc.record({ theta: fc.double({ min: 2, max: 1e6, noNaN: true }), scaling: scalings() }, { requiredKeys: ["theta"] });

function scalings(): fc.Arbitrary<NonNullable<ModelConfig["ropeScaling"]>> {
  const factor = fc.double({ min: 1, max: 64, noNaN: true });
  const llama3 = { kind: "llama3" as const, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 64 };
  return fc.oneof(fc.record({ kind: fc.constant("linear" as const), factor }), fc.constant(llama3));
}

/** The experts of a mixture. Mixtral has them in every layer. */
function experts(family: string): fc.Arbitrary<Pick<ModelConfig, "experts">> {
  const all = { count: 4, perToken: 2, mlpDim: dims.mlpDim, normalize: true, every: 1, denseLayers: [] };
  const auxWeight = fc.constantFrom(0, 0.02, 1);
  if (family === "mixtral") return auxWeight.map((weight) => ({ experts: { ...all, auxWeight: weight } }));
  if (family !== "qwen3moe") return fc.constant({});
  return fc
    .record({
      auxWeight,
      normalize: fc.boolean(),
      every: fc.integer({ min: 1, max: 3 }),
      denseLayers: fc.subarray([0, 1, 2]),
      mlpDim: fc.constant(6),
    })
    .map((own) => ({ experts: { ...all, ...own } }));
}

/** Configurations of all families of transformers, with any of the options that the family has. */
const configs: fc.Arbitrary<ModelConfig> = fc.constantFrom(...hfFamilies).chain(({ name }) =>
  fc
    .record({
      tied: fc.boolean(),
      queryScalar: fc.integer({ min: 1, max: 300 }),
      attentionCap: fc.double({ min: 1, max: 100, noNaN: true }),
      logitCap: fc.integer({ min: 1, max: 100 }),
      window: fc.integer({ min: 1, max: 9 }),
      layerTypes: fc.array(fc.constantFrom("full" as const, "window" as const), { minLength: 1, maxLength: 7 }),
      ropeScaling: scalings(),
      windowRope: rope,
    })
    .chain((options) => fc.tuple(fc.subarray(Object.entries(options)), experts(name)))
    .map(([options, mixture]) => ({ ...dims, family: name, ...Object.fromEntries(options), ...mixture }))
    .map((config) => modelConfigSchema.safeParse(config).data)
    .filter((config) => config !== undefined),
);

describe("families in config.json", () => {
  it("the configuration of each bundle has what its family adds", () => {
    const [gemma2, gemma3, llama, qwen3, mixtral, qwen3moe] = bundles.map((bundle) => read(jsonOf(bundle)));
    deepStrictEqual(
      [gemma2?.attentionCap, gemma2?.logitCap, gemma2?.queryScalar, gemma2?.window, gemma2?.layerTypes],
      [2, 3, 24, 6, ["window", "full"]],
    );
    deepStrictEqual(gemma3?.layerTypes, ["window", "window", "window", "window", "window", "full"]);
    deepStrictEqual([gemma3?.ropeScaling, gemma3?.windowRope], [{ kind: "linear", factor: 8 }, { theta: 100 }]);
    deepStrictEqual(llama?.ropeScaling, { kind: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 64 });
    deepStrictEqual(qwen3, { ...qwen3, family: "qwen3", ropeTheta: 1000, headDim: 16 });
    const experts = { normalize: true, auxWeight: 0.02, every: 1, denseLayers: [] };
    deepStrictEqual(mixtral?.experts, { ...experts, count: 4, perToken: 2, mlpDim: 48 });
    deepStrictEqual(qwen3moe?.experts, { ...experts, count: 8, perToken: 2, mlpDim: 16, every: 2 });
  });

  it("a written config.json reads back as the same model, for every family and option", () => {
    fc.assert(
      fc.property(configs, (config) => {
        const back = read(modelConfigToHf(config));
        deepStrictEqual(back, canonicalConfig(config));
        deepStrictEqual(layerTypesOf(back), layerTypesOf(config));
        for (const type of ["full", "window"] as const)
          if (layerTypesOf(config).includes(type))
            deepStrictEqual({ scaling: undefined, ...ropeOf(back, type) }, { scaling: undefined, ...ropeOf(config, type) });
      }),
    );
  });

  it("the keys of transformers 4 give the same models as those of transformers 5", () => {
    const older = (bundle: string, add: Json): Json => {
      const { rope_parameters: _, layer_types: __, _sliding_window_pattern: ___, ...rest } = jsonOf(bundle);
      return { ...rest, ...add };
    };
    deepStrictEqual(read(older("gemma2", { rope_theta: 10000 })), read(jsonOf("gemma2")));
    const scaling = { rope_type: "linear", factor: 8 };
    deepStrictEqual(
      read(older("gemma3", { rope_theta: 1000, rope_local_base_freq: 100, rope_scaling: scaling, sliding_window_pattern: 6 })),
      read(jsonOf("gemma3")),
    );
    const { rope_theta: theta, ...llama3 } = jsonOf("llama")["rope_parameters"] as Json;
    deepStrictEqual(read(older("llama", { rope_theta: theta, rope_scaling: llama3 })), read(jsonOf("llama")));
  });

  it("absent keys have the values of transformers", () => {
    const { head_dim: _, num_key_value_heads: __, tie_word_embeddings: ___, ...llama } = jsonOf("llama");
    const { headDim, kvHeads, tied } = read(llama);
    deepStrictEqual([headDim, kvHeads, tied], [4, 8, undefined]);
    const { attn_logit_softcapping: cap, query_pre_attn_scalar: ____, ...gemma2 } = jsonOf("gemma2");
    strictEqual(cap, 2);
    deepStrictEqual([read(gemma2).attentionCap, read(gemma2).queryScalar], [50, 256]);
    strictEqual(read({ ...gemma2, attn_logit_softcapping: null }).attentionCap, undefined);
  });

  it("a key that changes the mathematics is rejected by name", () => {
    for (const [bundle, change, key] of [
      ["llama", { attention_bias: true }, "attention_bias"],
      ["llama", { mlp_bias: true }, "mlp_bias"],
      ["llama", { hidden_act: "gelu" }, "hidden_act"],
      ["llama", { sliding_window: 8 }, "sliding_window"],
      ["llama", { attn_logit_softcapping: 2 }, "attn_logit_softcapping"],
      ["llama", { rope_parameters: { rope_type: "yarn", factor: 4 } }, "rope_parameters.rope_type"],
      ["llama", { rope_parameters: { rope_type: "linear" } }, "rope_parameters.factor"],
      ["llama", { rope_scaling: { rope_type: "dynamic", factor: 2 } }, "rope_scaling.rope_type"],
      ["llama", { rope_scaling: { rope_type: "linear", factor: 2 } }, "rope_scaling"],
      ["llama", { num_experts: 8 }, "num_experts"],
      ["qwen3", { layer_types: ["full_attention"] }, "layer_types"],
      ["qwen3", { layer_types: Array.from({ length: 4 }, () => "linear_attention") }, "layer_types.0"],
      ["gemma3", { attn_logit_softcapping: 2 }, "attn_logit_softcapping"],
      ["gemma3", { use_bidirectional_attention: true }, "use_bidirectional_attention"],
      ["gemma3", { sliding_window: null }, "sliding_window"],
      ["gemma3", { architectures: ["Gemma2ForCausalLM"] }, "architectures"],
      ["gemma2", { final_logit_softcapping: -3 }, "final_logit_softcapping"],
    ] as const)
      rejects({ ...jsonOf(bundle), ...change }, key);
    rejects({ ...jsonOf("llama"), model_type: "deepseek_v3", n_routed_experts: 4 }, "n_routed_experts");
    rejects({ ...jsonOf("mixtral"), router_jitter_noise: 0.1 }, "router_jitter_noise");
    rejects({ ...jsonOf("mixtral"), num_experts_per_tok: 5 }, "num_experts_per_tok");
    rejects({ ...jsonOf("llama"), model_type: "phi3" }, "model_type");
  });

  it("harmless keys are accepted, and unknown keys are listed", () => {
    for (const bundle of bundles) deepStrictEqual(parseHfConfig(JSON.stringify(jsonOf(bundle)), "config.json").warnings, []);
    const { warnings } = parseHfConfig(JSON.stringify({ ...jsonOf("llama"), frobnicate: 3 }), "config.json");
    match(warnings.map(({ message }) => message).join(), /frobnicate \(3\)/);
  });

  it("caps and weights are written with a fraction, because transformers 5 rejects integers", () => {
    const text = hfJsonText(modelConfigToHf(read(jsonOf("gemma2"))));
    match(text, /"attn_logit_softcapping": 2\.0,\n/);
    match(text, /"final_logit_softcapping": 3\.0,\n/);
    match(hfJsonText(modelConfigToHf(read(jsonOf("mixtral")))), /"router_jitter_noise": 0\.0,\n/);
    match(hfJsonText(modelConfigToHf(read(jsonOf("gemma3")))), /"final_logit_softcapping": null/);
  });
});
