import { deepStrictEqual, notStrictEqual, ok } from "node:assert/strict";
import { type ArrayData, f32Array, i32Array } from "@lapidary/interop";
import { parametersOf, printGraph } from "@lapidary/ir";
import { buildModel, loraParams } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import type { GraphRunner } from "@lapidary/training";
import { scoreParams } from "../programs/score-model.js";
import { goldenBundle } from "../testing/golden-bundle.js";
import { PostBundleFile } from "./bundle-file.js";
import { type PostBundle, readPostBundle } from "./bundle.js";
import { type PostPart, postParts, runPostParity } from "./run.js";

const zeros = (dtype: string, dims: readonly number[]): ArrayData => {
  const size = dims.reduce((a, b) => a * b, 1);
  return dtype === "f32" ? f32Array(dims, new Float32Array(size)) : i32Array(dims, new Int32Array(size));
};

/** Checks the inputs of every program, records its text, and returns zeros. */
function recorder(): { readonly runner: GraphRunner; readonly texts: Map<string, string> } {
  const texts = new Map<string, string>();
  const run: GraphRunner["run"] = (name, graph, inputs) => {
    for (const { attrs, type } of parametersOf(graph)) {
      const array = ensure(inputs.get(attrs.name), `${name}: ${attrs.name}`);
      deepStrictEqual([array.dtype, array.dims], [type.dtype, type.dims], `${name}: ${attrs.name}`);
    }
    const text = printGraph(graph);
    // A session compiles the first graph of a name only.
    ok((texts.get(name) ?? text) === text, `the name ${name} has one program`);
    texts.set(name, text);
    const typeOf = new Map(graph.values.map(({ id, type }) => [id, type]));
    return Promise.resolve(
      new Map(
        graph.outputs.map(({ name: output, value }) => {
          const { dtype, dims } = ensure(typeOf.get(value), output);
          return [output, zeros(dtype, dims)];
        }),
      ),
    );
  };
  return { runner: { run }, texts };
}

async function programsOf(bundle: PostBundle, parts: readonly PostPart[] = postParts): Promise<string> {
  const { runner, texts } = recorder();
  await runPostParity(bundle, runner, { parts });
  return [...texts.values()].join("\n");
}

type Changes = { readonly [Key in keyof PostBundle["manifest"]]?: Readonly<Record<string, unknown>> };
const withSettings = (bundle: PostBundle, changes: Changes): PostBundle => ({
  ...bundle,
  manifest: Object.fromEntries(
    Object.entries(bundle.manifest).map(([key, value]) => [key, { ...(value as object), ...changes[key as keyof Changes] }]),
  ) as PostBundle["manifest"],
});

describe("a bundle with other settings", () => {
  let bundle: PostBundle | undefined;
  before(async () => {
    bundle = await readPostBundle(goldenBundle("mqa"));
  });

  const settings: readonly (readonly [PostPart, Changes])[] = [
    ["dpo", { dpo: { beta: 0.2 } }],
    ["dpo", { dpo: { "loss_smoothed_0.1": undefined, "loss_smoothed_0.2": 0.6 } }],
    ["reward", { reward: { "loss_with_center_0.01": undefined, "loss_with_center_0.05": 0.6 } }],
    ["rollout", { rollout: { temperature: 0.5 } }],
    ["rloo", { rollout: { temperature: 0.5 } }],
    ["rloo", { rollout: { generations: 2 } }],
    ["rloo", { rloo: { beta: 0.1 } }],
    ["rloo", { rloo: { clip: 0.1 } }],
    ["grpo", { rollout: { generations: 8 } }],
    ["grpo", { grpo: { beta: 0.1 } }],
    ["grpo", { grpo: { clip: 0.1 } }],
    ["grpo", { grpo: { max_completion: 20 } }],
    ["grpo", { grpo: { "clip_higher_0.28": undefined, "clip_higher_0.4": 0.1 } }],
    ["ppo", { rollout: { temperature: 0.5 } }],
    ["ppo", { ppo: { kl_coef: 0.2 } }],
    ["ppo", { ppo: { gamma: 0.9 } }],
    ["ppo", { ppo: { lambda: 0.9 } }],
    ["ppo", { ppo: { clip_value: 0.3 } }],
    ["ppo", { ppo: { vf_coef: 0.3 } }],
  ];
  for (const [part, changes] of settings)
    it(`the setting ${JSON.stringify(changes)} reaches the programs of ${part}`, async () => {
      const golden = ensure(bundle, "bundle");
      notStrictEqual(await programsOf(withSettings(golden, changes), [part]), await programsOf(golden, [part]));
    });

  it("the programs fit a bundle with other rows, lengths, widths, heads, layers and groups", async () => {
    const other = reshaped(ensure(bundle, "bundle"));
    ok((await programsOf(other)).length > 0);
  });
});

/** A bundle of zeros with other dims. Its settings are those of the golden bundle, except for groups of 3 rows. */
function reshaped(golden: PostBundle): PostBundle {
  const config = { ...golden.config, vocabSize: 300, modelDim: 24, layers: 1, heads: 2, kvHeads: 2, headDim: 8, mlpDim: 20 };
  const model = buildModel(config);
  const [B, P, C, T, V, N] = [6, 5, 7, 9, config.vocabSize, 4];
  const lora = { rank: 2, alpha: 6, targets: ["q_proj", "up_proj"] as const };
  const weights = (params: readonly { readonly name: string; readonly dims: readonly number[] }[]): Map<string, ArrayData> =>
    new Map(params.map(({ name, dims }) => [name, zeros("f32", dims)]));
  const i32 = (...dims: number[]): ArrayData => zeros("i32", dims);
  const f32 = (...dims: number[]): ArrayData => zeros("f32", dims);
  const ones = (...dims: number[]): ArrayData => i32Array(dims, new Int32Array(dims.reduce((a, b) => a * b, 1)).fill(1));
  const grads = (params: readonly { readonly name: string; readonly dims: readonly number[] }[]): Record<string, ArrayData> =>
    Object.fromEntries([...weights(params)].map(([name, array]) => [`grad.${name}`, array]));
  const valueParams = scoreParams(model).map(({ name, dims }) => ({ name: `value.${name}`, dims }));
  const rows = (dims: readonly [number, number]): Record<string, ArrayData> => ({ input_ids: i32(...dims), attention_mask: ones(...dims) });
  const byToken = (names: readonly string[]): Record<string, ArrayData> => Object.fromEntries(names.map((name) => [name, f32(B, C)]));
  const contents: Record<keyof PostBundle["files"], Record<string, ArrayData>> = {
    sft: {
      ...rows([B, T]),
      labels: i32(B, T),
      packed_input_ids: i32(3, 2 * T),
      packed_segment_ids: ones(3, 2 * T),
      packed_labels: i32(3, 2 * T),
      ...grads(model.params),
    },
    reward_model: { ...rows([2 * B, T]), last: i32(2 * B), scores: f32(2 * B), margin: f32(B), ...grads(scoreParams(model)) },
    dpo: { ...rows([4, T]), completion_mask: ones(4, T), logps: f32(4), reference_logps: f32(4), ...grads(model.params) },
    rollout: {
      prompt_ids: i32(B, P),
      prompt_mask: ones(B, P),
      completion_ids: i32(B, C),
      completion_mask: ones(B, C),
      rewards: f32(B),
      rloo_advantages: f32(B),
      grpo_advantages: f32(B),
      ...byToken(["old_logps", "reference_logps", "logps", "entropy", "kl"]),
    },
    rloo: { advantages: f32(B), ...grads(model.params) },
    grpo: { advantages: f32(B), ...grads(model.params) },
    ppo: {
      ...byToken(["old_values", "values", "token_rewards", "gae", "returns", "advantages"]),
      ...grads([...model.params, ...valueParams]),
    },
    lora: {
      ...grads(loraParams(model, lora)),
      ...Object.fromEntries(
        [...weights(model.params)].filter(([name]) => /\.(q|up)_proj\./.test(name)).map(([name, array]) => [`merged.${name}`, array]),
      ),
    },
    generation: {
      prompt_ids: i32(B, P),
      prompt_mask: ones(B, P),
      tokens: i32(B, N),
      chosen_logits: f32(B, N),
      chosen_logps: f32(B, N),
      stopped_tokens: i32(B, N),
      stopped_lengths: i32(B),
      ...Object.fromEntries(
        ["logits_first", "logits_step", "logits_last", "warped_temperature", "warped_top_k", "warped_top_p", "warped_all"].map((name) => [
          name,
          f32(B, V),
        ]),
      ),
    },
  };
  const settings = { generation: { new_tokens: N, step: 2 }, rollout: { generations: 3, truncated_rows: [5] } };
  return {
    ...withSettings(golden, settings),
    config,
    model,
    policy: weights(model.params),
    reference: weights(model.params),
    reward: weights(scoreParams(model)),
    lora: { config: lora, weights: weights(loraParams(model, lora)) },
    files: Object.fromEntries(
      Object.entries(contents).map(([name, arrays]) => [name, new PostBundleFile(`${name}.safetensors`, new Map(Object.entries(arrays)))]),
    ) as unknown as PostBundle["files"],
  };
}
