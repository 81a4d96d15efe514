import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { sizeOf } from "@lapidary/ir";
import { modelConfigSchema, paramsOf } from "@lapidary/models";
import { LapidaryError, ensure, normalAt } from "@lapidary/std";
import { HfCheckpoint } from "./hf-checkpoint.js";
import { modelConfigToHf } from "./hf-config.js";
import type { SafetensorsDtype } from "./safetensors-header.js";

const config = modelConfigSchema.parse({
  vocabSize: 7,
  modelDim: 6,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  mlpDim: 5,
  contextLength: 8,
});

/** A tensor as a file stores it. */
interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}
type Tensors = Map<string, Stored>;

const f32 = (shape: readonly number[], values: ArrayLike<number>): Stored => ({
  dtype: "F32",
  shape,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});
const bf16 = (shape: readonly number[], values: ArrayLike<number>): Stored => ({
  dtype: "BF16",
  shape,
  bytes: new Uint8Array(Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16).buffer),
});
const zeros = (shape: readonly number[], dtype: SafetensorsDtype, bytesPerElement: number): Stored => ({
  dtype,
  shape,
  bytes: new Uint8Array(sizeOf(shape) * bytesPerElement),
});

/** Values that BF16 represents exactly. */
const valuesOf = (dims: readonly number[], key: number): number[] =>
  Array.from({ length: sizeOf(dims) }, (_, i) => Math.round(normalAt(key, i) * 16) / 16);
const weights = (): Tensors => new Map(paramsOf(config).map(({ name, dims }, key) => [name, f32(dims, valuesOf(dims, key))]));

function fileOf(tensors: ReadonlyMap<string, Stored>): Uint8Array {
  let at = 0;
  const header = Object.fromEntries(
    [...tensors].map(([name, { dtype, shape, bytes }]) => {
      const begin = at;
      at += bytes.length;
      return [name, { dtype, shape, data_offsets: [begin, at] }];
    }),
  );
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...[...tensors.values()].map(({ bytes }) => bytes)]);
}

const embedding = "model.embed_tokens.weight";
const norm = "model.norm.weight";

describe("checkpoints of other tools", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-"));
    write("config.json", JSON.stringify(modelConfigToHf(config)));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const write = (name: string, content: string | Uint8Array): void => writeFileSync(join(directory, name), content);
  const change = (edit: (tensors: Tensors) => void): void => {
    const tensors = weights();
    edit(tensors);
    write("model.safetensors", fileOf(tensors));
  };
  const rename = (to: (name: string) => string): void =>
    write("model.safetensors", fileOf(new Map([...weights()].map(([name, stored]) => [to(name), stored]))));
  const hf = (keys: Record<string, unknown>): void => write("config.json", JSON.stringify({ ...modelConfigToHf(config), ...keys }));

  /** Checks the warnings, then all parameters. */
  const reads = async (warning?: RegExp): Promise<void> => {
    const checkpoint = await HfCheckpoint.open(directory);
    try {
      if (warning === undefined) deepStrictEqual(checkpoint.warnings, []);
      else match(checkpoint.warnings.map(({ code, message }) => `${code}: ${message}`).join("\n"), warning);
      for (const [key, { name, dims }] of checkpoint.params.entries())
        deepStrictEqual([...(await checkpoint.read(name)).data], valuesOf(dims, key));
    } finally {
      await checkpoint.close();
    }
  };
  const rejectsWith = (code: string, text: RegExp, read = false): Promise<void> =>
    rejects(
      async () => {
        const checkpoint = await HfCheckpoint.open(directory);
        try {
          for (const { name } of read ? checkpoint.params : []) await checkpoint.read(name);
        } finally {
          await checkpoint.close();
        }
      },
      (error) => {
        ok(error instanceof LapidaryError, error instanceof Error ? (error.stack ?? error.message) : String(error));
        strictEqual(error.code, code, `${error.message} (${error.location})`);
        match(`${error.message} | ${error.location} | ${error.remedy}`, text);
        return true;
      },
    );

  for (const [what, to, expected] of [
    ["the bare model class", (name: string) => name.replace(/^model\./, ""), /lack the prefix "model\."/],
    ["DistributedDataParallel", (name: string) => `module.${name}`, /have the extra prefix "module\."/],
    ["torch.compile", (name: string) => `_orig_mod.${name}`, /have the extra prefix "_orig_mod\."/],
    [
      "torch.compile of the inner model",
      (name: string) => name.replace(/^model\./, "model._orig_mod."),
      /extra prefix "model\._orig_mod\." and lack/,
    ],
    [
      "torch.compile of each layer",
      (name: string) => name.replace(/layers\.(\d)\./, "layers.$1._orig_mod."),
      /extra wrapper segments "_orig_mod"/,
    ],
    ["a wrapper class", (name: string) => `model.${name}`, /have the extra prefix "model\."/],
    ["PEFT", (name: string) => `base_model.model.${name}`, /have the extra prefix "base_model\.model\."/],
    ["a multimodal model without its vision part", (name: string) => `language_model.${name}`, /have the extra prefix "language_model\."/],
    ["DDP around the bare class", (name: string) => name.replace(/^model\./, "module."), /extra prefix "module\." and lack/],
  ] as const)
    it(`a checkpoint with the tensor names of ${what} is read with a warning`, async () => {
      rename(to);
      await reads(new RegExp(`LAP_CHECKPOINT_NAMES: .*${expected.source}`));
    });

  it("a checkpoint in which one parameter lacks the prefix of the others is rejected with its name", async () => {
    rename((name) => (name === norm ? name : `base_model.${name}`));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /tensor model\.norm\.weight: missing from the checkpoint .*extra prefix "base_model\."/);
    rename((name) => name.replace("model.layers", "transformer.h").replace("embed_tokens", "wte").replace("model.norm", "ln_f"));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /its tensors have other names: model\.wte\.weight/);
  });

  it("a checkpoint with a second copy of the weights under a prefix is rejected with the first name of the copy", async () => {
    change((tensors) => {
      for (const [name, stored] of weights()) tensors.set(`ema.${name}`, stored);
    });
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /tensor ema\.model\.embed_tokens\.weight: the model has no such parameter/);
  });

  for (const [name, expected] of [
    ["vision_tower.encoder.layers.0.weight", /vision or audio part/],
    ["base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", /adapter that is not merged .*merge_and_unload/],
    ["model.layers.0.self_attn.q_proj.bias", /Gemma 1 has no biases/],
    ["model.layers.0.pre_feedforward_layernorm.weight", /Gemma 2 and 3/],
    ["model.layers.0.mlp.up_proj.weight_scale", /quantized .*dequantize/],
    ["model.layers.0.mlp.up_proj.weight.absmax", /quantized/],
    ["model.layers.7.mlp.up_proj.weight", /belongs to layer 7, config.json defines layers 0 to 1 .*num_hidden_layers in config.json to 8/],
    ["score.weight", /head for classification/],
    ["model.embed_tokens.extra", /did you mean model\.embed_tokens\.weight\?|no such parameter/],
  ] as const)
    it(`a checkpoint with ${name} is rejected with this name`, async () => {
      change((tensors) => tensors.set(name, f32([2], [0, 0])));
      await rejectsWith(
        "LAP_CHECKPOINT_TENSOR",
        new RegExp(`tensor ${name.replaceAll(".", "\\.")}: the model has no such parameter.*${expected.source}`),
      );
    });

  it("an output head is accepted only if it equals the embedding, in any dtype", async () => {
    const values = valuesOf([7, 6], 0);
    change((tensors) => tensors.set("lm_head.weight", f32([7, 6], values)));
    await reads();
    change((tensors) => tensors.set("lm_head.weight", bf16([7, 6], values)));
    await reads();
    change((tensors) => tensors.set("lm_head.weight", f32([7, 6], values.with(41, 0.123))));
    await rejectsWith(
      "LAP_CHECKPOINT_TENSOR",
      /tensor lm_head\.weight: it differs .*at element \[6, 5\].*remove lm_head\.weight .*or tie it/,
    );
    change((tensors) => tensors.set("lm_head.weight", f32([7, 6], values.with(0, -(values[0] ?? 0) || -0))));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /element \[0, 0\]/);
    change((tensors) => tensors.set("lm_head.weight", f32([6, 7], values)));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /its shape is \[6, 7\], the shape of the embedding \[7, 6\]/);
    rename((name) => (name === embedding ? "lm_head.weight" : name));
    await reads(/model\.embed_tokens\.weight is read from lm_head\.weight/);
    hf({ tie_word_embeddings: false });
    await rejectsWith("LAP_CHECKPOINT_CONFIG", /tie_word_embeddings is false/);
  });

  it("frequencies of rotary embedding are accepted only if they match rope_theta", async () => {
    const name = "model.layers.1.self_attn.rotary_emb.inv_freq";
    change((tensors) => tensors.set(name, f32([2], [1, 0.01])));
    await reads();
    change((tensors) => tensors.set("model.rotary_emb.inv_freq", bf16([2], [1, 0.01])));
    await reads();
    change((tensors) => tensors.set(name, f32([2], [1, 0.005])));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /element 1 is 0\.00\d+, rope_theta 10000 gives 0\.01/);
    change((tensors) => tensors.set(name, f32([3], [1, 1, 1])));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /expected rotary frequencies, F32 \[2\], got F32 \[3\]/);
  });

  it("a parameter of another shape or dtype is rejected with its name and the reason", async () => {
    const up = "model.layers.0.mlp.up_proj.weight";
    const set = (name: string, stored: Stored): void => change((tensors) => tensors.set(name, stored));
    set(up, f32([6, 5], valuesOf([30], 1)));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /it is transposed/);
    set(embedding, f32([64, 6], valuesOf([384], 1)));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /64 rows for a vocabulary of 7, possibly padded .*vocab_size in config\.json to 64/);
    set(up, f32([0], []));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /without gathering/);
    set(up, zeros([5, 6], "F64", 8));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /unsupported dtype F64/);
    set(up, zeros([5, 6], "I8", 1));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /integers \(I8\).*the model is quantized/);
    set(up, zeros([5, 6], "F8_E4M3", 1));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /F8_E4M3.*quantized/);
    set(up, zeros([15, 1], "U8", 1));
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /integers \(U8\).*quantized/);
    set(up, { ...zeros([5, 6], "U8", 1), dtype: "F4" });
    await rejectsWith("LAP_SAFETENSORS_DTYPE", /unsupported dtype F4/);
  });

  it("weights with fewer layers than config.json are rejected with both numbers", async () => {
    change((tensors) => {
      for (const name of [...tensors.keys()]) if (name.includes("layers.1.")) tensors.delete(name);
    });
    await rejectsWith("LAP_CHECKPOINT_TENSOR", /the weights have 1 layers, config\.json requires 2/);
  });

  it("NaN and infinite weights are rejected with tensor, element and count", async () => {
    const values = valuesOf([7, 6], 0);
    change((tensors) => tensors.set(embedding, f32([7, 6], values.with(8, Number.NaN).with(9, Infinity))));
    await rejectsWith(
      "LAP_CHECKPOINT_NOT_FINITE",
      /2 of 42 elements are NaN or infinite; the first, \[1, 2\], is NaN .*embed_tokens/,
      true,
    );
    const halves = Uint16Array.from({ length: 42 }, () => 0x7c00);
    change((tensors) => tensors.set(embedding, { dtype: "F16", shape: [7, 6], bytes: new Uint8Array(halves.buffer) }));
    await rejectsWith("LAP_CHECKPOINT_NOT_FINITE", /42 of 42 elements .*is Infinity.*the maximum of F16 is 65504/, true);
  });

  for (const [what, content, expected, code] of [
    [
      "an LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4945242264\n",
      /Git LFS pointer of \d+ bytes.* has 4945242264 bytes.*git lfs pull/,
    ],
    ["a page", "<!DOCTYPE html><html><head><title>401</title>", /a web page that starts with "<!DOCTYPE html>.*hf auth login/],
    ["an error reply in JSON", '{"error":"Access to model google/gemma-2b is restricted."}', /JSON text that starts with .*restricted/],
    ["a pointer of git-annex", "/annex/objects/SHA256E-s4945242264--4d7a\n", /git annex get/],
    ["a line of text", "Repository not found\n", /text that starts with "Repository not found"/],
    ["nothing", "", /an empty file/],
    ["zeros", new Uint8Array(4096), /starts with zeros, as of an unfinished download/],
    ["a gzip archive", gzipSync("x".repeat(100)), /a gzip archive.*gunzip/],
    [
      "a zip archive",
      Buffer.concat([Buffer.from("PK\x03\x04"), new Uint8Array(100)]),
      /such as pickled weights of PyTorch.*safe_serialization=True/,
    ],
    ["a pickle", Buffer.from("\x80\x02}q\x00.           ", "latin1"), /pickled weights of PyTorch/],
    ["GGUF", Buffer.concat([Buffer.from("GGUF\x03\0\0\0", "latin1"), new Uint8Array(100)]), /a GGUF file of llama\.cpp/],
    ["HDF5", Buffer.concat([Buffer.from("\x89HDF\r\n\x1a\n", "latin1"), new Uint8Array(100)]), /HDF5/],
    ["half of a file", fileOf(weights()).slice(0, -30), /truncated: its header describes \d+ bytes/, "LAP_SAFETENSORS_TRUNCATED"],
    ["a file cut within its header", fileOf(weights()).slice(0, 100), /the header has \d+ bytes/, "LAP_SAFETENSORS_TRUNCATED"],
    [
      "random bytes",
      Buffer.from("9f3c0011a2b3c4d5e6f708192a3b4c5d", "hex"),
      /the header has \d+ bytes by its length field/,
      "LAP_SAFETENSORS_HEADER",
    ],
  ] as const)
    it(`a model.safetensors with ${what} is rejected, and the error describes its content`, async () => {
      write("model.safetensors", content);
      await rejectsWith(code ?? "LAP_FILE_KIND", expected);
    });

  for (const [what, content, expected, code] of [
    [
      "an LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 600\n",
      /config\.json is not a JSON file: it is a Git LFS pointer/,
      "LAP_FILE_KIND",
    ],
    ["a page", "<html>401</html>", /web page/, "LAP_FILE_KIND"],
    [
      "an error reply in JSON",
      '{"error":"Access is restricted"}',
      /error reply of a server.*Access is restricted/,
      "LAP_CHECKPOINT_CONFIG",
    ],
    ["nothing", "", /an empty file/, "LAP_FILE_KIND"],
    ["half of it", '{"model_type": "gemma", ', /not JSON/, "LAP_CHECKPOINT_JSON"],
    ["a key twice", '{"model_type": "gemma", "head_dim": 4, "head_dim": 8}', /"head_dim" appears twice/, "LAP_CHECKPOINT_JSON"],
    ["a list", "[]", /not an object/, "LAP_CHECKPOINT_CONFIG"],
  ] as const)
    it(`a config.json with ${what} is rejected, and the error describes its content`, async () => {
      change(() => undefined);
      write("config.json", content);
      await rejectsWith(code, expected);
    });

  for (const [keys, key] of [
    [{ model_type: "gemma2" }, "architectures"],
    [{ model_type: "qwen2" }, "model_type"],
    [{ model_type: "deepseek_v3", n_routed_experts: 256 }, "n_routed_experts"],
    [{ model_type: "qwen2_moe", num_experts: 64 }, "num_experts"],
    [{ model_type: undefined }, "model_type"],
    [{ hidden_act: "silu" }, "hidden_act"],
    [{ hidden_activation: "gelu" }, "hidden_activation"],
    [{ hidden_act: "gelu", hidden_activation: null, transformers_version: "4.51.3" }, "hidden_act"],
    [{ hidden_act: "gelu_new" }, "hidden_act"],
    [{ attention_bias: true }, "attention_bias"],
    [{ attention_dropout: 0.1 }, "attention_dropout"],
    [{ sliding_window: 4096 }, "sliding_window"],
    [{ attn_logit_softcapping: 50 }, "attn_logit_softcapping"],
    [{ final_logit_softcapping: 30 }, "final_logit_softcapping"],
    [{ query_pre_attn_scalar: 256 }, "query_pre_attn_scalar"],
    [{ rope_scaling: { type: "linear", factor: 2 } }, "rope_scaling.type"],
    [{ rope_parameters: { rope_type: "yarn", factor: 4 } }, "rope_parameters.rope_type"],
    [{ rope_theta: 5000, rope_parameters: { rope_theta: 10000 } }, "rope_theta"],
    [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor"],
    [{ layer_types: ["full_attention", "sliding_attention"] }, "layer_types"],
    [{ quantization_config: { quant_method: "gptq", bits: 4 } }, "quantization_config"],
    [{ architectures: ["Gemma2ForCausalLM"] }, "architectures"],
    [{ auto_map: { AutoModelForCausalLM: "model.Mine" } }, "auto_map"],
    [{ num_local_experts: 8 }, "num_local_experts"],
    [{ head_dim: undefined }, "head_dim"],
  ] as const)
    it(`a config.json with ${JSON.stringify(keys)} is rejected with the key`, async () => {
      change(() => undefined);
      hf(keys);
      await rejectsWith("LAP_CHECKPOINT_CONFIG", new RegExp(`config\\.json: ${key.replaceAll(".", "\\.")} `));
    });

  it("gelu in a config.json of the first releases is read as its tanh form, with a warning if the version is missing", async () => {
    change(() => undefined);
    hf({ hidden_act: "gelu", hidden_activation: null, transformers_version: "4.38.0.dev0" });
    await reads();
    hf({ hidden_act: "gelu", hidden_activation: undefined, transformers_version: undefined });
    await reads(/LAP_CHECKPOINT_CONFIG_KEY: hidden_act is "gelu"/);
  });

  it("a config.json with an unknown key is read with a warning", async () => {
    change(() => undefined);
    hf({
      swiglu_limit: 7,
      sliding_window: null,
      rope_scaling: null,
      query_pre_attn_scalar: 4,
      layer_types: ["full_attention", "full_attention"],
    });
    await reads(/LAP_CHECKPOINT_CONFIG_KEY: .*swiglu_limit \(7\)/);
  });

  it("a config.json that contradicts the weights is rejected with a tensor", async () => {
    change(() => undefined);
    for (const keys of [{ head_dim: 8 }, { intermediate_size: 10 }, { num_key_value_heads: 2 }, { vocab_size: 8 }, { hidden_size: 12 }]) {
      hf(keys);
      await rejectsWith("LAP_CHECKPOINT_TENSOR", /its shape is \[.*config\.json requires \[/);
    }
  });

  describe("in shards", () => {
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
    const map = (): Record<string, string> => Object.fromEntries([...weights().keys()].map((name, i) => [name, shards[i < 4 ? 0 : 1]]));
    const index = (weightMap: Record<string, string>): void =>
      write("model.safetensors.index.json", JSON.stringify({ metadata: {}, weight_map: weightMap }));
    beforeEach(() => {
      const all = [...weights()];
      write(shards[0], fileOf(new Map(all.slice(0, 4))));
      write(shards[1], fileOf(new Map(all.slice(4))));
      index(map());
    });

    it("shards are read by their index", () => reads());

    it("a missing shard, or an LFS pointer in its place, is rejected with its name", async () => {
      rmSync(join(directory, shards[1]));
      write(`${shards[1]}.incomplete`, "");
      await rejectsWith("LAP_CHECKPOINT_INDEX", /1 of 2 files in the index is missing: model-00002/);
      write(shards[1], "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 77\n");
      await rejectsWith("LAP_FILE_KIND", /model-00002-of-00002\.safetensors is not a safetensors file: it is a Git LFS pointer/);
    });

    it("a shard or a tensor that is missing from the index is rejected", async () => {
      write("model-00003-of-00003.safetensors", fileOf(new Map([["more", f32([1], [0])]])));
      await rejectsWith("LAP_CHECKPOINT_INDEX", /this shard is missing from the index.*model-00003-of-00003/);
      rmSync(join(directory, "model-00003-of-00003.safetensors"));
      const { [norm]: _, ...rest } = map();
      index(rest);
      await rejectsWith("LAP_CHECKPOINT_TENSOR", /tensor model\.norm\.weight: missing from the index/);
    });

    it("an index of a single file is read, and an index of other files next to it is rejected", async () => {
      for (const name of shards) rmSync(join(directory, name));
      change(() => undefined);
      index(Object.fromEntries(Object.keys(map()).map((name) => [name, "model.safetensors"])));
      await reads();
      index(map());
      await rejectsWith("LAP_CHECKPOINT_AMBIGUOUS", /model\.safetensors, model\.safetensors\.index\.json/);
    });

    it("a tensor in two shards is rejected with its name", async () => {
      write(shards[0], fileOf(new Map([...[...weights()].slice(0, 4), [norm, f32([6], [1, 2, 3, 4, 5, 6])]])));
      await rejectsWith("LAP_CHECKPOINT_TENSOR", /it is in this file, the index places it in model-00002-of-00002\.safetensors/);
    });

    it("shards without their index, or next to other weights, are rejected", async () => {
      rmSync(join(directory, "model.safetensors.index.json"));
      await rejectsWith("LAP_CHECKPOINT_FORM", /shards \(.*\) without their index/);
      change(() => undefined);
      await rejectsWith("LAP_CHECKPOINT_AMBIGUOUS", /more than one set of weights: model\.safetensors, shards such as model-00001/);
    });
  });

  it("an adapter next to the weights is rejected, because it would be ignored", async () => {
    change(() => undefined);
    write("adapter_config.json", JSON.stringify({ base_model_name_or_path: "google/gemma-2b", peft_type: "LORA" }));
    await rejectsWith("LAP_CHECKPOINT_AMBIGUOUS", /an adapter \(adapter_config\.json\) next to the weights/);
  });

  for (const [file, expected] of [
    ["pytorch_model.bin", /pickled weights of PyTorch \(pytorch_model\.bin\).*safe_serialization=True/],
    ["model.ckpt", /pickled weights/],
    ["consolidated.00.pth", /original format/],
    ["flax_model.msgpack", /Flax.*from_flax=True/],
    ["tf_model.h5", /Keras or TensorFlow.*from_tf=True/],
    ["gemma-2b.gguf", /llama\.cpp/],
    ["weights.npz", /NumPy arrays.*save_file/],
    ["_CHECKPOINT_METADATA", /Orbax/],
    ["gemma.safetensors", /with other names \(gemma\.safetensors\)/],
    ["model.safetensors.part", /unfinished downloads/],
    ["__0_0.distcp", /FSDP/],
  ] as const)
    it(`a directory with ${file} instead of the weights is rejected with its content and a remedy`, async () => {
      write(file, "xxxxxxxxxxxxxxxxxxxx");
      await rejectsWith("LAP_CHECKPOINT_FORM", expected);
    });

  it("the error names checkpoints in subfolders, and broken links", async () => {
    rmSync(join(directory, "config.json"));
    mkdirSync(join(directory, "checkpoint-90"));
    mkdirSync(join(directory, "checkpoint-100"));
    for (const folder of ["checkpoint-90", "checkpoint-100"]) write(`${folder}/config.json`, "{}");
    await rejectsWith("LAP_CHECKPOINT_FORM", /checkpoint in each of the folders.*give one of them: .*checkpoint-100$/);
    symlinkSync("../blobs/4d7a", join(directory, "config.json"));
    await rejectsWith("LAP_CHECKPOINT_FORM", /a link config\.json to \.\.\/blobs\/4d7a, which does not exist/);
  });

  it("a pipe in place of a file is rejected without waiting", async () => {
    execFileSync("mkfifo", [join(directory, "model.safetensors")]);
    await rejectsWith("LAP_FILE_UNREADABLE", /not a regular file/);
    rmSync(join(directory, "config.json"));
    execFileSync("mkfifo", [join(directory, "config.json")]);
    await rejectsWith("LAP_CHECKPOINT_MISSING", /not a regular file/);
  });

  it("the path of a file, or a missing path, is rejected", async () => {
    change(() => undefined);
    await rejects(HfCheckpoint.open(join(directory, "model.safetensors")), {
      code: "LAP_CHECKPOINT_FORM",
      message: /expected the directory of a checkpoint, got a safetensors file/,
    });
    await rejects(HfCheckpoint.open(join(directory, "absent")), {
      code: "LAP_CHECKPOINT_MISSING",
      message: /checkpoint .*absent not found/,
    });
    ok(ensure(weights().get(norm), norm).shape.length === 1);
  });
});
