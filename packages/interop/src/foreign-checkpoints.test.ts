import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { sizeOf } from "@lapidary/ir";
import { gemmaConfigSchema, paramsOf } from "@lapidary/models";
import { LapidaryError, must, normalAt } from "@lapidary/std";
import { gemmaConfigToHf, HfCheckpoint, type SafetensorsDtype } from "./index.js";

const config = gemmaConfigSchema.parse({
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

/** Every number is one that BF16 holds. */
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

describe("checkpoints that other tools wrote", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-"));
    write("config.json", JSON.stringify(gemmaConfigToHf(config)));
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
  const hf = (keys: Record<string, unknown>): void => write("config.json", JSON.stringify({ ...gemmaConfigToHf(config), ...keys }));

  /** All parameters, after the warnings were looked at. */
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
  const refuses = (code: string, text: RegExp, read = false): Promise<void> =>
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
        strictEqual(error.code, code, `${error.message} (${error.place})`);
        match(`${error.message} | ${error.place} | ${error.remedy}`, text);
        return true;
      },
    );

  for (const [what, to, said] of [
    ["the bare model class", (name: string) => name.replace(/^model\./, ""), /lack the prefix "model\."/],
    ["DistributedDataParallel", (name: string) => `module.${name}`, /have the prefix "module\." in excess/],
    ["torch.compile", (name: string) => `_orig_mod.${name}`, /have the prefix "_orig_mod\." in excess/],
    [
      "torch.compile of the inner model",
      (name: string) => name.replace(/^model\./, "model._orig_mod."),
      /"model\._orig_mod\." in excess and lack/,
    ],
    [
      "torch.compile of each layer",
      (name: string) => name.replace(/layers\.(\d)\./, "layers.$1._orig_mod."),
      /segments "_orig_mod" of wrappers/,
    ],
    ["a wrapper class", (name: string) => `model.${name}`, /have the prefix "model\." in excess/],
    ["PEFT", (name: string) => `base_model.model.${name}`, /have the prefix "base_model\.model\." in excess/],
    [
      "a multimodal model without its vision part",
      (name: string) => `language_model.${name}`,
      /have the prefix "language_model\." in excess/,
    ],
    ["DDP around the bare class", (name: string) => name.replace(/^model\./, "module."), /"module\." in excess and lack/],
  ] as const)
    it(`are read under the names of ${what}, and a warning says so`, async () => {
      rename(to);
      await reads(new RegExp(`LAP_CHECKPOINT_NAMES: .*${said.source}`));
    });

  it("of which one parameter does not bear the prefix of the others are refused by its name", async () => {
    rename((name) => (name === norm ? name : `base_model.${name}`));
    await refuses("LAP_CHECKPOINT_TENSOR", /tensor model\.norm\.weight: the checkpoint lacks it .*"base_model\." in excess/);
    rename((name) => name.replace("model.layers", "transformer.h").replace("embed_tokens", "wte").replace("model.norm", "ln_f"));
    await refuses("LAP_CHECKPOINT_TENSOR", /its tensors have other names: model\.wte\.weight/);
  });

  it("with a second copy of the weights under a prefix are refused by its first name", async () => {
    change((tensors) => {
      for (const [name, stored] of weights()) tensors.set(`ema.${name}`, stored);
    });
    await refuses("LAP_CHECKPOINT_TENSOR", /tensor ema\.model\.embed_tokens\.weight: the model has no place for it/);
  });

  for (const [name, said] of [
    ["vision_tower.encoder.layers.0.weight", /vision or audio part/],
    ["base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", /adapter that is not merged .*merge_and_unload/],
    ["model.layers.0.self_attn.q_proj.bias", /Gemma 1 has no biases/],
    ["model.layers.0.pre_feedforward_layernorm.weight", /Gemma 2 and 3/],
    ["model.layers.0.mlp.up_proj.weight_scale", /quantized .*dequantize/],
    ["model.layers.0.mlp.up_proj.weight.absmax", /quantized/],
    ["model.layers.7.mlp.up_proj.weight", /belongs to layer 7, and config.json has layers 0 to 1 .*num_hidden_layers in config.json to 8/],
    ["score.weight", /head for classification/],
    ["model.embed_tokens.extra", /near: model\.embed_tokens\.weight|no place for it/],
  ] as const)
    it(`with ${name} are refused by its name`, async () => {
      change((tensors) => tensors.set(name, f32([2], [0, 0])));
      await refuses(
        "LAP_CHECKPOINT_TENSOR",
        new RegExp(`tensor ${name.replaceAll(".", "\\.")}: the model has no place for it.*${said.source}`),
      );
    });

  it("with an output head are read only if it is the embedding, whatever its dtype", async () => {
    const values = valuesOf([7, 6], 0);
    change((tensors) => tensors.set("lm_head.weight", f32([7, 6], values)));
    await reads();
    change((tensors) => tensors.set("lm_head.weight", bf16([7, 6], values)));
    await reads();
    change((tensors) => tensors.set("lm_head.weight", f32([7, 6], values.with(41, 0.123))));
    await refuses("LAP_CHECKPOINT_TENSOR", /tensor lm_head\.weight: it differs .*at element \[6, 5\].*drop lm_head\.weight .*or tie it/);
    change((tensors) => tensors.set("lm_head.weight", f32([7, 6], values.with(0, -(values[0] ?? 0) || -0))));
    await refuses("LAP_CHECKPOINT_TENSOR", /element \[0, 0\]/);
    change((tensors) => tensors.set("lm_head.weight", f32([6, 7], values)));
    await refuses("LAP_CHECKPOINT_TENSOR", /it is \[6, 7\], the embedding is \[7, 6\]/);
    rename((name) => (name === embedding ? "lm_head.weight" : name));
    await reads(/model\.embed_tokens\.weight is stored under the name of the head/);
    hf({ tie_word_embeddings: false });
    await refuses("LAP_CHECKPOINT_CONFIG", /tie_word_embeddings is false/);
  });

  it("with the frequencies of rotary embedding are read only if they are those of rope_theta", async () => {
    const name = "model.layers.1.self_attn.rotary_emb.inv_freq";
    change((tensors) => tensors.set(name, f32([2], [1, 0.01])));
    await reads();
    change((tensors) => tensors.set("model.rotary_emb.inv_freq", bf16([2], [1, 0.01])));
    await reads();
    change((tensors) => tensors.set(name, f32([2], [1, 0.005])));
    await refuses("LAP_CHECKPOINT_TENSOR", /its element 1 is 0\.00\d+, rope_theta 10000 gives 0\.01/);
    change((tensors) => tensors.set(name, f32([3], [1, 1, 1])));
    await refuses("LAP_CHECKPOINT_TENSOR", /frequencies of rotary embedding are F32 \[2\]/);
  });

  it("with a parameter of another shape or dtype are refused by its name, and the reason is given", async () => {
    const up = "model.layers.0.mlp.up_proj.weight";
    const set = (name: string, stored: Stored): void => change((tensors) => tensors.set(name, stored));
    set(up, f32([6, 5], valuesOf([30], 1)));
    await refuses("LAP_CHECKPOINT_TENSOR", /it is transposed/);
    set(embedding, f32([64, 6], valuesOf([384], 1)));
    await refuses("LAP_CHECKPOINT_TENSOR", /64 rows for a vocabulary of 7, perhaps padded .*vocab_size in config\.json to 64/);
    set(up, f32([0], []));
    await refuses("LAP_CHECKPOINT_TENSOR", /not gathered/);
    set(up, zeros([5, 6], "F64", 8));
    await refuses("LAP_CHECKPOINT_TENSOR", /it holds F64/);
    set(up, zeros([5, 6], "I8", 1));
    await refuses("LAP_CHECKPOINT_TENSOR", /integers \(I8\).*the model is quantized/);
    set(up, zeros([5, 6], "F8_E4M3", 1));
    await refuses("LAP_CHECKPOINT_TENSOR", /F8_E4M3.*quantized/);
    set(up, zeros([15, 1], "U8", 1));
    await refuses("LAP_CHECKPOINT_TENSOR", /integers \(U8\).*quantized/);
    set(up, { ...zeros([5, 6], "U8", 1), dtype: "F4" });
    await refuses("LAP_SAFETENSORS_DTYPE", /F4 is not one that Lapidary reads/);
  });

  it("with fewer layers than config.json says are refused, with both numbers", async () => {
    change((tensors) => {
      for (const name of [...tensors.keys()]) if (name.includes("layers.1.")) tensors.delete(name);
    });
    await refuses("LAP_CHECKPOINT_TENSOR", /the weights have 1 layers, config\.json says 2/);
  });

  it("with numbers that are not finite are refused by tensor, element and count", async () => {
    const values = valuesOf([7, 6], 0);
    change((tensors) => tensors.set(embedding, f32([7, 6], values.with(8, Number.NaN).with(9, Infinity))));
    await refuses("LAP_CHECKPOINT_NOT_FINITE", /element \[1, 2\] is NaN; 2 of 42 elements .*embed_tokens/, true);
    const halves = Uint16Array.from({ length: 42 }, () => 0x7c00);
    change((tensors) => tensors.set(embedding, { dtype: "F16", shape: [7, 6], bytes: new Uint8Array(halves.buffer) }));
    await refuses("LAP_CHECKPOINT_NOT_FINITE", /is Infinity; 42 of 42.*F16 holds nothing above 65504/, true);
  });

  for (const [what, content, said, code] of [
    [
      "an LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4945242264\n",
      /Git LFS pointer of \d+ bytes.* has 4945242264 bytes.*git lfs pull/,
    ],
    ["a page", "<!DOCTYPE html><html><head><title>401</title>", /a web page, which begins "<!DOCTYPE html>.*hf auth login/],
    ["an answer in JSON", '{"error":"Access to model google/gemma-2b is restricted."}', /JSON text, which begins .*restricted/],
    ["a pointer of git-annex", "/annex/objects/SHA256E-s4945242264--4d7a\n", /git annex get/],
    ["a line of text", "Repository not found\n", /text, which begins "Repository not found"/],
    ["nothing", "", /an empty file/],
    ["zeros", new Uint8Array(4096), /a download reserved and has not filled/],
    ["a gzip archive", gzipSync("x".repeat(100)), /a gzip archive.*gunzip/],
    [
      "a zip archive",
      Buffer.concat([Buffer.from("PK\x03\x04"), new Uint8Array(100)]),
      /as PyTorch writes pickled weights.*safe_serialization=True/,
    ],
    ["a pickle", Buffer.from("\x80\x02}q\x00.           ", "latin1"), /pickled weights of PyTorch/],
    ["GGUF", Buffer.concat([Buffer.from("GGUF\x03\0\0\0", "latin1"), new Uint8Array(100)]), /a GGUF file of llama\.cpp/],
    ["HDF5", Buffer.concat([Buffer.from("\x89HDF\r\n\x1a\n", "latin1"), new Uint8Array(100)]), /HDF5/],
    ["half of a file", fileOf(weights()).slice(0, -30), /cut short: its header describes \d+ bytes/, "LAP_SAFETENSORS_TRUNCATED"],
    ["a file cut within its header", fileOf(weights()).slice(0, 100), /the header claims \d+ bytes/, "LAP_SAFETENSORS_TRUNCATED"],
    ["random bytes", Buffer.from("9f3c0011a2b3c4d5e6f708192a3b4c5d", "hex"), /header claims/, "LAP_SAFETENSORS_HEADER"],
  ] as const)
    it(`whose model.safetensors holds ${what} are refused as what they are`, async () => {
      write("model.safetensors", content);
      await refuses(code ?? "LAP_FILE_KIND", said);
    });

  for (const [what, content, said, code] of [
    [
      "an LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 600\n",
      /config\.json is not a JSON file: it is a Git LFS pointer/,
      "LAP_FILE_KIND",
    ],
    ["a page", "<html>401</html>", /web page/, "LAP_FILE_KIND"],
    ["an answer in JSON", '{"error":"Access is restricted"}', /answer of a server.*Access is restricted/, "LAP_CHECKPOINT_CONFIG"],
    ["nothing", "", /an empty file/, "LAP_FILE_KIND"],
    ["half of it", '{"model_type": "gemma", ', /not JSON/, "LAP_CHECKPOINT_JSON"],
    ["a key twice", '{"model_type": "gemma", "head_dim": 4, "head_dim": 8}', /"head_dim" given twice/, "LAP_CHECKPOINT_JSON"],
    ["a list", "[]", /not an object/, "LAP_CHECKPOINT_CONFIG"],
  ] as const)
    it(`whose config.json holds ${what} are refused as what they are`, async () => {
      change(() => undefined);
      write("config.json", content);
      await refuses(code, said);
    });

  for (const [keys, key] of [
    [{ model_type: "gemma2" }, "model_type"],
    [{ model_type: "llama" }, "model_type"],
    [{ model_type: "gemma3_text", sliding_window: 512 }, "model_type"],
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
    it(`whose config.json says ${JSON.stringify(keys)} are refused by that key`, async () => {
      change(() => undefined);
      hf(keys);
      await refuses("LAP_CHECKPOINT_CONFIG", new RegExp(`config\\.json: ${key.replaceAll(".", "\\.")} `));
    });

  it("of the first releases are read although they write gelu for its tanh form; without a version a warning says so", async () => {
    change(() => undefined);
    hf({ hidden_act: "gelu", hidden_activation: null, transformers_version: "4.38.0.dev0" });
    await reads();
    hf({ hidden_act: "gelu", hidden_activation: undefined, transformers_version: undefined });
    await reads(/LAP_CHECKPOINT_CONFIG_KEY: hidden_act is "gelu"/);
  });

  it("with a key in config.json that nobody has judged are read with a warning", async () => {
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

  it("whose config.json contradicts the weights are refused by a tensor", async () => {
    change(() => undefined);
    for (const keys of [{ head_dim: 8 }, { intermediate_size: 10 }, { num_key_value_heads: 2 }, { vocab_size: 8 }, { hidden_size: 12 }]) {
      hf(keys);
      await refuses("LAP_CHECKPOINT_TENSOR", /it is \[.*config\.json asks for \[/);
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

    it("are read by their index", () => reads());

    it("of which one is missing, or a pointer, are refused by its name", async () => {
      rmSync(join(directory, shards[1]));
      write(`${shards[1]}.incomplete`, "");
      await refuses("LAP_CHECKPOINT_INDEX", /names 2 files, and 1 of them is not there: model-00002/);
      write(shards[1], "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 77\n");
      await refuses("LAP_FILE_KIND", /model-00002-of-00002\.safetensors is not a safetensors file: it is a Git LFS pointer/);
    });

    it("that the index does not name, wholly or in part, are refused", async () => {
      write("model-00003-of-00003.safetensors", fileOf(new Map([["more", f32([1], [0])]])));
      await refuses("LAP_CHECKPOINT_INDEX", /does not name this shard.*model-00003-of-00003/);
      rmSync(join(directory, "model-00003-of-00003.safetensors"));
      const { [norm]: _, ...rest } = map();
      index(rest);
      await refuses("LAP_CHECKPOINT_TENSOR", /tensor model\.norm\.weight: the index does not name it/);
    });

    it("of which the index names one file alone are read, and refused where it names others beside it", async () => {
      for (const name of shards) rmSync(join(directory, name));
      change(() => undefined);
      index(Object.fromEntries(Object.keys(map()).map((name) => [name, "model.safetensors"])));
      await reads();
      index(map());
      await refuses("LAP_CHECKPOINT_AMBIGUOUS", /model\.safetensors, model\.safetensors\.index\.json/);
    });

    it("that hold a tensor twice are refused by its name", async () => {
      write(shards[0], fileOf(new Map([...[...weights()].slice(0, 4), [norm, f32([6], [1, 2, 3, 4, 5, 6])]])));
      await refuses("LAP_CHECKPOINT_TENSOR", /places it in model-00002-of-00002\.safetensors, and it is in this file too/);
    });

    it("without their index, or beside other weights, are refused", async () => {
      rmSync(join(directory, "model.safetensors.index.json"));
      await refuses("LAP_CHECKPOINT_FORM", /shards \(.*\) without their index/);
      change(() => undefined);
      await refuses("LAP_CHECKPOINT_AMBIGUOUS", /more than one set of weights: model\.safetensors, shards such as model-00001/);
    });
  });

  it("with an adapter beside the weights are refused, because it would not be applied", async () => {
    change(() => undefined);
    write("adapter_config.json", JSON.stringify({ base_model_name_or_path: "google/gemma-2b", peft_type: "LORA" }));
    await refuses("LAP_CHECKPOINT_AMBIGUOUS", /an adapter \(adapter_config\.json\) beside the weights/);
  });

  for (const [file, said] of [
    ["pytorch_model.bin", /pickled weights of PyTorch \(pytorch_model\.bin\).*safe_serialization=True/],
    ["model.ckpt", /pickled weights/],
    ["consolidated.00.pth", /original form/],
    ["flax_model.msgpack", /Flax.*from_flax=True/],
    ["tf_model.h5", /Keras or TensorFlow.*from_tf=True/],
    ["gemma-2b.gguf", /llama\.cpp/],
    ["weights.npz", /NumPy arrays.*save_file/],
    ["_CHECKPOINT_METADATA", /Orbax/],
    ["gemma.safetensors", /under other names \(gemma\.safetensors\)/],
    ["model.safetensors.part", /unfinished downloads/],
    ["__0_0.distcp", /FSDP/],
  ] as const)
    it(`that hold ${file} in place of the weights are refused with what they hold and the way out`, async () => {
      write(file, "xxxxxxxxxxxxxxxxxxxx");
      await refuses("LAP_CHECKPOINT_FORM", said);
    });

  it("are found in the folder below, and broken links are named", async () => {
    rmSync(join(directory, "config.json"));
    mkdirSync(join(directory, "checkpoint-90"));
    mkdirSync(join(directory, "checkpoint-100"));
    for (const folder of ["checkpoint-90", "checkpoint-100"]) write(`${folder}/config.json`, "{}");
    await refuses("LAP_CHECKPOINT_FORM", /checkpoint in each of the folders.*name one of them: .*checkpoint-100$/);
    symlinkSync("../blobs/4d7a", join(directory, "config.json"));
    await refuses("LAP_CHECKPOINT_FORM", /a link config\.json to \.\.\/blobs\/4d7a, which does not exist/);
  });

  it("are refused without waiting where a file is a pipe", async () => {
    execFileSync("mkfifo", [join(directory, "model.safetensors")]);
    await refuses("LAP_FILE_UNREADABLE", /not a regular file/);
    rmSync(join(directory, "config.json"));
    execFileSync("mkfifo", [join(directory, "config.json")]);
    await refuses("LAP_CHECKPOINT_MISSING", /not a regular file/);
  });

  it("are refused as a file where a file is named", async () => {
    change(() => undefined);
    await rejects(HfCheckpoint.open(join(directory, "model.safetensors")), {
      code: "LAP_CHECKPOINT_FORM",
      message: /safetensors file, not the directory/,
    });
    await rejects(HfCheckpoint.open(join(directory, "absent")), {
      code: "LAP_CHECKPOINT_MISSING",
      message: /there is no checkpoint at .*absent/,
    });
    ok(must(weights().get(norm), norm).shape.length === 1);
  });
});
