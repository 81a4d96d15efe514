import { dirname } from "node:path";
import { sameDims, sizeOf } from "@lapidary/ir";
import { isTied, layerTypeOf, type ModelConfig, type ParamSpec, ropeFrequency, ropeOf, traitsOf } from "@lapidary/models";
import { ensure, suggest, type Warning } from "@lapidary/std";
import { mergeAdapter } from "./checkpoint-survey.js";
import { withDirectory } from "./file-kind.js";
import { type StoredTensor, dimsOfStored, firstDifference, indexOf, type TensorFile } from "./tensor-file.js";
import { tensorError } from "./tensor-errors.js";
import { describeRenaming, isIdentity, originalName, type Renaming, renamingOf } from "./tensor-names.js";

/**
 * Every tensor of a checkpoint is in exactly one of three groups:
 *
 *     used        a parameter of the model, under its own name or with a prefix that all names share
 *     redundant   a repetition of a model value: the tied output head, the frequencies of rotary embedding. Its numbers are compared.
 *     rejected    any other tensor: it is reported in an error
 */
export interface MatchedTensors {
  /** The used tensors, by the name of the parameter. */
  readonly used: ReadonlyMap<string, StoredTensor>;
  readonly redundant: readonly RedundantTensor[];
  readonly warnings: readonly Warning[];
}

/** A tensor that the model needs: a parameter, or a slice of a stack. */
type TensorSpec = Pick<ParamSpec, "name" | "dims">;

interface RedundantTensor extends StoredTensor {
  /**
   * Compares its numbers with the values that it repeats.
   *
   * @param maxElements maximum number of elements to compare
   * @throws LAP_CHECKPOINT_TENSOR if one differs
   */
  readonly check: (maxElements?: number) => Promise<void>;
}

const embedding = "model.embed_tokens.weight";
const outputHead = "lm_head.weight";

/**
 * @param found every tensor of the checkpoint, by the name in its file
 * @throws LAP_CHECKPOINT_TENSOR with the first parameter that is missing or has another shape or dtype, or the first rejected tensor
 */
export function matchTensors(
  directory: string,
  config: ModelConfig,
  params: readonly TensorSpec[],
  found: ReadonlyMap<string, TensorFile>,
): MatchedTensors {
  const renaming = renamingOf(
    params.map(({ name }) => name),
    [...found.keys()],
  );
  const context: Context = { directory, config, params, found, renaming };
  const warnings: Warning[] = [];
  const used = new Map<string, StoredTensor>();
  const usedNames = new Set<string>();
  for (const param of params) {
    const name = renaming.stored.get(param.name) ?? headAsEmbedding(context, param, warnings);
    if (name === undefined) throw missingError(context, param.name);
    const tensor = { file: ensure(found.get(name), name), name };
    checkForm(tensor, param);
    used.set(param.name, tensor);
    usedNames.add(name);
  }
  if (!isIdentity(renaming)) warnings.unshift(renamedWarning(directory, renaming, params));
  const redundant: RedundantTensor[] = [];
  for (const [name, file] of found) {
    if (usedNames.has(name)) continue;
    const redundantTensor = redundancyOf(context, { file, name }, ensure(used.get(embedding), embedding));
    if (redundantTensor === undefined)
      throw unmatchedError(
        context,
        { file, name },
        [...found.keys()].filter((one) => !usedNames.has(one)),
      );
    redundant.push(redundantTensor);
  }
  return { used, redundant, warnings };
}

interface Context {
  readonly directory: string;
  readonly config: ModelConfig;
  readonly params: readonly TensorSpec[];
  readonly found: ReadonlyMap<string, TensorFile>;
  readonly renaming: Renaming;
}

function renamedWarning(directory: string, renaming: Renaming, params: readonly TensorSpec[]): Warning {
  const first = ensure(params[0], "parameter").name;
  return {
    code: "LAP_CHECKPOINT_NAMES",
    message: `the names of the weights ${describeRenaming(renaming)}: ${renaming.stored.get(first) ?? outputHead} is read as ${first}, and all others likewise`,
    place: directory,
    remedy: "check that this is the right model; `lapidary ckpt export` writes the weights with the standard names",
  };
}

/** Of two tensors that share memory, safetensors keeps one name: a tied embedding may be stored as the head. */
function headAsEmbedding(
  { directory, config, found, renaming }: Context,
  { name, dims }: TensorSpec,
  warnings: Warning[],
): string | undefined {
  if (!isTied(config) || name !== embedding) return undefined;
  const head = [...found].find(
    ([stored, file]) => originalName(stored, renaming) === outputHead && sameDims(file.dimsOf(stored) ?? [], dims),
  )?.[0];
  if (head === undefined) return undefined;
  warnings.push({
    code: "LAP_CHECKPOINT_NAMES",
    message: `${embedding} is read from ${head}, the name of the output head that is tied to it`,
    place: `${directory}: tensor "${head}"`,
    remedy: "check that the model ties its head to the embedding; `lapidary ckpt export` writes it with the standard name",
  });
  return head;
}

const floats: readonly string[] = ["F32", "F16", "BF16"];

/** Checks shape and dtype of a parameter, from the header. */
function checkForm(tensor: StoredTensor, { name, dims }: TensorSpec): void {
  const { file } = tensor;
  const dtype = file.dtypeOf(tensor.name) ?? "F32";
  if (!floats.includes(dtype))
    throw dtype === "F64"
      ? tensorError(
          file.path,
          tensor.name,
          "unsupported dtype F64: Lapidary computes in F32",
          "convert it, in Python: tensor.to(torch.float32)",
        )
      : tensorError(
          file.path,
          tensor.name,
          `expected weights in F32, F16 or BF16, got ${/^[FC]/.test(dtype) ? `numbers of ${dtype}` : `integers (${dtype})`}${/^(I8|U8|F8|F4|F6|I32|U32)/.test(dtype) ? ": the model is quantized" : ""}`,
          dequantize,
        );
  const found = dimsOfStored(tensor);
  if (!sameDims(found, dims))
    throw tensorError(
      file.path,
      tensor.name,
      `its shape is [${found.join(", ")}], config.json requires [${dims.join(", ")}]${shapeHint(name, found, dims)}`,
      shapeRemedy(name, found, dims),
    );
}

const dequantize =
  "use the checkpoint from before the quantization, or dequantize it: in Python, model.dequantize() and then model.save_pretrained(NEW_DIRECTORY, safe_serialization=True)";

const isTransposed = (found: readonly number[], wanted: readonly number[]): boolean =>
  found.length === 2 && sameDims(found.toReversed(), wanted);
const isOtherVocabulary = (name: string, found: readonly number[], wanted: readonly number[]): boolean =>
  name === embedding && found.length === 2 && found[1] === wanted[1];

function shapeHint(name: string, found: readonly number[], wanted: readonly number[]): string {
  if (sizeOf(found) === 0) return ": it is empty, because a sharded model was saved without gathering its parameters";
  if (isTransposed(found, wanted)) return ": it is transposed";
  if (isOtherVocabulary(name, found, wanted))
    return `: the weights have ${found[0]} rows for a vocabulary of ${wanted[0]}${(found[0] ?? 0) > (wanted[0] ?? 0) ? ", possibly padded" : ""}`;
  return "";
}

function shapeRemedy(name: string, found: readonly number[], wanted: readonly number[]): string | undefined {
  if (sizeOf(found) === 0)
    return "save the model again with its parameters gathered (DeepSpeed: stage3_gather_16bit_weights_on_model_save, or zero_to_fp32.py)";
  if (isTransposed(found, wanted)) return "transpose the projections: Hugging Face stores them as [out, in]";
  if (isOtherVocabulary(name, found, wanted))
    return `set vocab_size in config.json to ${found[0]} (and model.vocab_size of the job), or cut the embedding to ${wanted[0]} rows`;
  return undefined;
}

/** The redundant tensor, if a tensor that is not a parameter repeats a value that the model computes; otherwise undefined. */
function redundancyOf({ config, renaming }: Context, tensor: StoredTensor, embedded: StoredTensor): RedundantTensor | undefined {
  const name = originalName(tensor.name, renaming);
  if (name === outputHead && isTied(config)) return tiedHead(tensor, embedded, config);
  const layer = /^model\.(?:layers\.(\d+)\.self_attn\.)?rotary_emb\.inv_freq$/.exec(name ?? "");
  if (layer !== null && Number(layer[1] ?? 0) < config.layers) return frequencies(tensor, config, Number(layer[1] ?? 0));
  return undefined;
}

const dropHead = `remove ${outputHead} from the file if the embedding is the head, or tie it: write the values of ${embedding} under this name too`;

function tiedHead(tensor: StoredTensor, embedded: StoredTensor, config: ModelConfig): RedundantTensor {
  const { file, name } = tensor;
  const [found, wanted] = [dimsOfStored(tensor), dimsOfStored(embedded)];
  const noHead = `the ${traitsOf(config).label} of config.json has no separate output head, because it uses the embedding`;
  if (!sameDims(found, wanted))
    throw tensorError(
      file.path,
      name,
      `its shape is [${found.join(", ")}], the shape of the embedding [${wanted.join(", ")}]: ${noHead}`,
      dropHead,
    );
  return {
    ...tensor,
    check: async (maxElements) => {
      const at = await firstDifference(tensor, embedded, maxElements);
      if (at !== undefined)
        throw tensorError(file.path, name, `it differs from ${embedded.name}, first at element ${indexOf(found, at)}: ${noHead}`, dropHead);
    },
  };
}

/** Relative error of a stored frequency, by dtype: half a unit in the last place, and the same for the power that was computed in f32. */
const roundings: Readonly<Record<string, number>> = { F32: 2 ** -20, F16: 2 ** -10, BF16: 2 ** -7 };

/** The frequencies of rotary embedding (`models/layers/rope.ts`), which older exports stored as buffers. */
function frequencies(tensor: StoredTensor, config: ModelConfig, index: number): RedundantTensor {
  const { headDim } = config;
  const rope = ropeOf(config, layerTypeOf(config, index));
  const { file, name } = tensor;
  const found = dimsOfStored(tensor);
  const rounding = roundings[file.dtypeOf(name) ?? "F32"];
  const remedy = "check rope_theta and rope_scaling in config.json, which give other frequencies; or remove the tensor";
  if (rounding === undefined || !sameDims(found, [headDim / 2]))
    throw tensorError(
      file.path,
      name,
      `expected rotary frequencies, F32 [${headDim / 2}], got ${file.dtypeOf(name)} [${found.join(", ")}]`,
      remedy,
    );
  return {
    ...tensor,
    check: async () => {
      const { data } = await file.read(name);
      const at = [...data].findIndex((value, i) => {
        const wanted = ropeFrequency(rope, i, headDim);
        return !(Math.abs(value - wanted) <= rounding * wanted + 2 ** -25);
      });
      if (at >= 0)
        throw tensorError(
          file.path,
          name,
          `element ${at} is ${data[at]}, rope_theta ${rope.theta} gives ${ropeFrequency(rope, at, headDim)}`,
          remedy,
        );
    },
  };
}

// ---- errors of missing and rejected tensors ----

/** Name patterns of tensors that other models, tools or trainers write. */
const origins: readonly {
  readonly pattern: RegExp;
  /** Takes the family of the model. */
  readonly what: string | ((label: string) => string);
  readonly remedy: string;
}[] = [
  {
    pattern: /\.(lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|base_layer|modules_to_save|ia3_l|hada_w\d)\b/,
    what: "the model contains an adapter that is not merged",
    remedy: mergeAdapter,
  },
  {
    pattern:
      /\.(qweight|qzeros|scales|g_idx|SCB|weight_format|weight_scale\w*|weight_zero_point|input_scale|weight_packed|weight_shape|absmax|nested_absmax|quant_map|nested_quant_map|quant_state\S*)$/,
    what: "the model is quantized",
    remedy: dequantize,
  },
  {
    pattern: /(^|\.)(vision_tower|vision_model|multi_modal_projector|embed_vision|audio_tower|mm_projector|visual)\./,
    what: "it belongs to the vision or audio part of a multimodal model",
    remedy: "use the checkpoint of the text model alone",
  },
  {
    pattern: /(^|\.)(score|classifier|v_head|value_head|reward_head|regression_head|qa_outputs)\./,
    what: "it is a head for classification or rewards",
    remedy: "use the checkpoint of the language model, or remove the head",
  },
  {
    pattern: /\.(q_norm|k_norm|pre_feedforward_layernorm|post_feedforward_layernorm)\.weight$/,
    what: (label) => `norms of this name exist in Gemma 2 and 3 and some in Qwen 3, not in ${label}`,
    remedy: "set model_type in config.json to the family of the weights",
  },
  { pattern: /\.bias$/, what: (label) => `${label} has no biases`, remedy: "use a checkpoint without biases" },
  {
    pattern: /\.(qkv_proj|gate_up_proj|query_key_value|Wqkv|W_pack)\.weight$/,
    what: "the projections are fused",
    remedy: "split the fused projections into q_proj, k_proj, v_proj, gate_proj and up_proj",
  },
  {
    pattern: /(^|\.)(optimizer|exp_avg|exp_avg_sq|adam_m|adam_v|ema)\b/,
    what: "it is a state of training, not a weight",
    remedy: "save the weights alone",
  },
];

function originOf(name: string, config: ModelConfig): { readonly what: string; readonly remedy: string } | undefined {
  const origin = origins.find(({ pattern }) => pattern.test(name));
  if (origin === undefined) return undefined;
  const { what, remedy } = origin;
  return { what: typeof what === "string" ? what : what(traitsOf(config).label), remedy };
}

function missingError(context: Context, param: string): Error {
  const { directory, params, found, renaming, config } = context;
  const names = [...found.keys()];
  const missing = params.filter(({ name }) => !renaming.stored.has(name)).map(({ name }) => name);
  const foreign = names.map((name) => ({ name, origin: originOf(name, config) })).find(({ origin }) => origin !== undefined);
  if (foreign?.origin !== undefined)
    return tensorError(
      directory,
      param,
      `missing from the checkpoint, which has ${foreign.name}: ${foreign.origin.what}`,
      withDirectory(foreign.origin.remedy, directory),
    );
  if (renaming.stored.size === 0)
    return tensorError(
      directory,
      param,
      names.length === 0
        ? "missing from the checkpoint, which contains no tensors"
        : `missing from the checkpoint, like all other parameters; its tensors have other names: ${firstNames(names)}`,
      "use the model in Hugging Face format, or write the tensors under its names",
    );
  const has = layersIn([...renaming.stored.keys()]);
  if (has < config.layers && missing.every((name) => (layerOf(name) ?? 0) >= has))
    return tensorError(
      directory,
      param,
      `missing from the checkpoint: the weights have ${has} layers, config.json requires ${config.layers}`,
      `set num_hidden_layers to ${has} if the model has ${has} layers, or fetch the rest of the weights`,
    );
  const prefix = isIdentity(renaming) ? "" : ` (the names of the others ${describeRenaming(renaming)})`;
  const more = missing.length > 1 ? `, and ${missing.length - 1} more of ${params.length} parameters` : "";
  const rest = names.filter((name) => ![...renaming.stored.values()].includes(name));
  const near = suggest(param, rest);
  return tensorError(
    directory,
    param,
    `missing from the checkpoint${more}${prefix}${near === undefined ? "" : `; it has ${near}`}`,
    "check that config.json and the weights belong together, and that no shard is missing",
  );
}

/** @param others all tensors that are not parameters, including this one */
function unmatchedError({ config, params, renaming }: Context, { file, name }: StoredTensor, others: readonly string[]): Error {
  const dims = file.dimsOf(name) ?? [];
  const more = others.length > 1 ? `, nor ${others.length - 1} more (${firstNames(others.filter((one) => one !== name))})` : "";
  const problem = `the model has no such parameter ([${dims.join(", ")}])${more}`;
  const layer = layerOf(name);
  if (layer !== undefined && layer >= config.layers)
    return tensorError(
      file.path,
      name,
      `${problem}: it belongs to layer ${layer}, config.json defines layers 0 to ${config.layers - 1}`,
      `set num_hidden_layers in config.json to ${layersIn(others)} (and model.layers of the job), or remove these layers`,
    );
  const origin = originOf(name, config);
  if (origin !== undefined)
    return tensorError(file.path, name, `${problem}: ${origin.what}`, withDirectory(origin.remedy, dirname(file.path)));
  const near = suggest(
    originalName(name, renaming) ?? name,
    params.map((param) => param.name),
  );
  return tensorError(
    file.path,
    name,
    `${problem}${near === undefined ? "" : `; did you mean ${near}?`}`,
    "check that config.json and the weights belong together; if the tensor is not needed, remove it, in Python: tensors = safetensors.torch.load_file(FILE); del tensors[NAME]; safetensors.torch.save_file(tensors, FILE)",
  );
}

const layerOf = (name: string): number | undefined => {
  const layer = /(?:^|\.)layers\.(\d+)\./.exec(name)?.[1];
  return layer === undefined ? undefined : Number(layer);
};

const layersIn = (names: readonly string[]): number =>
  names.reduce((maxElements, name) => Math.max(maxElements, (layerOf(name) ?? -1) + 1), 0);

const firstNames = (names: readonly string[]): string =>
  `${names.slice(0, 3).join(", ")}${names.length > 3 ? `, … (${names.length})` : ""}`;
