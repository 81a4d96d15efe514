import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sizeOf } from "@lapidary/ir";
import { modelConfigSchema, type ModelConfig, paramsOf } from "@lapidary/models";
import { LapidaryError, ensure, normalAt } from "@lapidary/std";
import { type ArrayData, f32Array, i32Array } from "./array-data.js";
import { readHfCheckpoint, writeHfCheckpoint } from "./hf-checkpoint.js";
import { modelConfigFromHf, modelConfigToHf, readHfConfig } from "./hf-config.js";
import { checkOptimizerState } from "./optimizer-state.js";
import { writeSafetensors } from "./safetensors.js";

const config = modelConfigSchema.parse({
  vocabSize: 7,
  modelDim: 6,
  layers: 1,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  mlpDim: 5,
  contextLength: 8,
});
const weights = (c: ModelConfig): Map<string, ArrayData> =>
  new Map(
    paramsOf(c).map(({ name, dims }, key) => [
      name,
      f32Array(
        dims,
        Array.from({ length: sizeOf(dims) }, (_, i) => normalAt(key, i)),
      ),
    ]),
  );
const golden = new URL("../../../e2e/golden/mqa/", import.meta.url);

async function inDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "lapidary-"));
  try {
    await run(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const failing =
  (code: string, place: string) =>
  (error: unknown): boolean => {
    ok(error instanceof LapidaryError, String(error));
    deepStrictEqual([error.code, (error.location ?? "").includes(place)], [code, true], `${error.location}: ${error.message}`);
    return true;
  };

describe("checkpoints of the decoder family", () => {
  for (const fusedProjections of [false, true])
    it(`a decoder checkpoint ${fusedProjections ? "with" : "without"} fused projections is read back unchanged`, async () => {
      const decoder = modelConfigSchema.parse({ ...config, family: "decoder", kvHeads: 2, fusedProjections });
      await inDirectory(async (directory) => {
        await writeHfCheckpoint(directory, decoder, weights(decoder));
        const { config: read, tensors } = await readHfCheckpoint(directory);
        deepStrictEqual(read, decoder);
        deepStrictEqual(tensors, weights(decoder));
        ok(tensors.has("lm_head.weight") && tensors.has("model.layers.0.self_attn.qkv_proj.weight") === fusedProjections);
        const json = JSON.parse(await readFile(join(directory, "config.json"), "utf8")) as object;
        await writeFile(join(directory, "config.json"), JSON.stringify({ ...json, heads: -1 }));
        await rejects(readHfCheckpoint(directory), failing("LAP_CHECKPOINT_CONFIG", "heads"));
      });
    });
});

describe("Hugging Face config", () => {
  it("the config.json of transformers is read, and the written config.json reads back equal", async () => {
    const read = await readHfConfig(new URL("config.json", golden).pathname);
    deepStrictEqual(read, {
      vocabSize: 320,
      modelDim: 64,
      layers: 2,
      heads: 4,
      kvHeads: 1,
      headDim: 16,
      mlpDim: 128,
      contextLength: 256,
      ropeTheta: 10000,
      normEps: 1e-6,
    });
    deepStrictEqual(modelConfigFromHf(JSON.parse(JSON.stringify(modelConfigToHf(read)))), read);
  });

  it("the rotary base is read from the keys of transformers 4 and 5", () => {
    const { rope_parameters: _, ...v4 } = modelConfigToHf({ ...config, ropeTheta: 5000 });
    strictEqual(modelConfigFromHf(v4).ropeTheta, 5000);
    const { rope_theta: __, ...v5 } = modelConfigToHf({ ...config, ropeTheta: 6000 });
    strictEqual(modelConfigFromHf(v5).ropeTheta, 6000);
  });

  it("errors contain the key that is missing, invalid, or not of the family", () => {
    const hf = modelConfigToHf(config);
    const wrong = (change: Record<string, unknown>, key: string): void =>
      throws(() => modelConfigFromHf({ ...hf, ...change }, "c.json"), failing("LAP_CHECKPOINT_CONFIG", `c.json: ${key}`));
    wrong({ model_type: "gemma4" }, "model_type");
    wrong({ model_type: "gemma2" }, "architectures");
    wrong({ hidden_size: undefined }, "hidden_size");
    wrong({ hidden_size: "6" }, "hidden_size");
    wrong({ num_attention_heads: 2.5 }, "num_attention_heads");
    wrong({ num_key_value_heads: 3 }, "num_key_value_heads");
    wrong({ hidden_act: "silu" }, "hidden_act");
    wrong({ tie_word_embeddings: false }, "tie_word_embeddings");
    wrong({ rope_parameters: { rope_type: "linear", factor: 2 } }, "rope_parameters.rope_type");
  });
});

describe("optimizer state", () => {
  it("checkOptimizerState requires one array for every parameter and slot, and no other array", () => {
    const params = paramsOf(config);
    const state = new Map(["adam_m", "adam_v"].flatMap((slot) => params.map(({ name, dims }) => [`${slot}/${name}`, dims] as const)));
    const check = (arrays: ReadonlyMap<string, readonly number[]>): void =>
      checkOptimizerState(params, { path: "o", names: [...arrays.keys()], dimsOf: (name) => arrays.get(name) });
    check(state);
    check(new Map());
    const norm = "adam_v/model.norm.weight";
    throws(() => check(new Map([...state].filter(([name]) => name !== norm))), failing("LAP_CHECKPOINT_STATE", norm));
    throws(() => check(new Map([...state, [norm, [1]]])), failing("LAP_CHECKPOINT_STATE", norm));
    throws(() => check(new Map([...state, ["adam_m/more", [1]]])), failing("LAP_CHECKPOINT_STATE", "adam_m/more"));
  });
});

describe("Hugging Face checkpoint", () => {
  it("a written checkpoint reads back equal", () =>
    inDirectory(async (directory) => {
      await writeHfCheckpoint(directory, config, weights(config), new Map([["tokenizer.json", "{}"]]));
      deepStrictEqual(await readHfCheckpoint(directory), { config, tensors: weights(config), warnings: [] });
    }));

  it("a sharded checkpoint is read by its index", () =>
    inDirectory(async (directory) => {
      const all = [...weights(config)];
      await writeSafetensors(join(directory, "model-00001-of-00002.safetensors"), new Map(all.slice(0, 4)));
      await writeSafetensors(join(directory, "model-00002-of-00002.safetensors"), new Map(all.slice(4)));
      const weightMap = Object.fromEntries(all.map(([name], i) => [name, `model-0000${i < 4 ? 1 : 2}-of-00002.safetensors`]));
      await writeFile(join(directory, "config.json"), JSON.stringify(modelConfigToHf(config)));
      await writeFile(
        join(directory, "model.safetensors.index.json"),
        JSON.stringify({ metadata: { total_size: 0 }, weight_map: weightMap }),
      );
      deepStrictEqual((await readHfCheckpoint(directory)).tensors, weights(config));

      await writeFile(
        join(directory, "model.safetensors.index.json"),
        JSON.stringify({ weight_map: { ...weightMap, "model.norm.weight": "../../etc/x.safetensors" } }),
      );
      await rejects(readHfCheckpoint(directory), failing("LAP_CHECKPOINT_INDEX", "index.json"));
      await writeFile(
        join(directory, "model.safetensors.index.json"),
        JSON.stringify({ weight_map: { ...weightMap, "model.norm.weight": "model-00001-of-00002.safetensors" } }),
      );
      await rejects(
        readHfCheckpoint(directory),
        failing("LAP_CHECKPOINT_TENSOR", 'model-00001-of-00002.safetensors: tensor "model.norm.weight"'),
      );
    }));

  it("errors contain the file and tensor that do not match the model", () =>
    inDirectory(async (directory) => {
      const file = join(directory, "model.safetensors");
      await rejects(readHfCheckpoint(directory), failing("LAP_CHECKPOINT_MISSING", "config.json"));
      await writeHfCheckpoint(directory, config, weights(config));
      const norm = "model.norm.weight";
      const change = async (edit: (tensors: Map<string, ArrayData>) => void): Promise<void> => {
        const tensors = weights(config);
        edit(tensors);
        await writeSafetensors(file, tensors);
      };
      await change((tensors) => tensors.delete(norm));
      await rejects(readHfCheckpoint(directory), failing("LAP_CHECKPOINT_TENSOR", norm));
      await change((tensors) => tensors.set(norm, f32Array([2], [0, 0])));
      await rejects(readHfCheckpoint(directory), failing("LAP_CHECKPOINT_TENSOR", `${file}: tensor "${norm}"`));
      await change((tensors) => tensors.set(norm, i32Array([6], [0, 0, 0, 0, 0, 0])));
      await rejects(readHfCheckpoint(directory), failing("LAP_CHECKPOINT_TENSOR", norm));
      await change((tensors) => tensors.set("model.norm.bias", f32Array([1], [0])));
      await rejects(readHfCheckpoint(directory), failing("LAP_CHECKPOINT_TENSOR", "model.norm.bias"));
      await change((tensors) => tensors.set("lm_head.weight", ensure(tensors.get("model.embed_tokens.weight"), "embedding")));
      strictEqual((await readHfCheckpoint(directory)).tensors.size, paramsOf(config).length);
    }));
});
