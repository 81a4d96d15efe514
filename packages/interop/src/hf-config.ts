import { readFile, stat } from "node:fs/promises";
import { canonicalConfig, familyOf, isTied, type LayerType, type ModelConfig, modelConfigSchema, traitsOf } from "@lapidary/models";
import { ensure, LapidaryError, type Warning } from "@lapidary/std";
import { z } from "zod";
import { fileKind, rejectOtherKind } from "./file-kind.js";
import { configError } from "./hf-error.js";
import { type HfFamily, hfExpertsSchema, hfFamilies, layerTypeOfHf } from "./hf-families.js";
import { checkHfKeys, unknownHfKeys } from "./hf-keys.js";
import { formatValue, type Json } from "./hf-requirements.js";
import { ropesFromHf, ropesToHf } from "./hf-rope.js";
import { parseStrictJson, StrictJsonError } from "./strict-json.js";

/** The keys that a model is built from. `hf-keys.ts` checks the others. */
const hfConfigSchema = z.looseObject({
  vocab_size: z.number(),
  hidden_size: z.number(),
  num_hidden_layers: z.number(),
  num_attention_heads: z.number(),
  num_key_value_heads: z.number(),
  head_dim: z.number(),
  intermediate_size: z.number(),
  max_position_embeddings: z.number(),
  rms_norm_eps: z.number(),
  tie_word_embeddings: z.boolean(),
  query_pre_attn_scalar: z.number().nullish(),
  attn_logit_softcapping: z.number().nullish(),
  final_logit_softcapping: z.number().nullish(),
  sliding_window: z.number().nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.number().nullish(),
  sliding_window_pattern: z.number().int().positive().nullish(),
  _sliding_window_pattern: z.number().int().positive().nullish(),
  layer_types: z.array(z.unknown()).nullish(),
});
type HfConfig = z.infer<typeof hfConfigSchema>;

/** Name in Lapidary → name in Hugging Face. */
const hfKeys = {
  vocabSize: "vocab_size",
  modelDim: "hidden_size",
  layers: "num_hidden_layers",
  heads: "num_attention_heads",
  kvHeads: "num_key_value_heads",
  headDim: "head_dim",
  mlpDim: "intermediate_size",
  contextLength: "max_position_embeddings",
  normEps: "rms_norm_eps",
} as const satisfies Partial<Record<keyof ModelConfig, keyof HfConfig>>;

/** The same for keys that only some families have. */
const optionKeys: Readonly<Record<string, string>> = {
  ropeTheta: "rope_theta",
  tied: "tie_word_embeddings",
  queryScalar: "query_pre_attn_scalar",
  attentionCap: "attn_logit_softcapping",
  logitCap: "final_logit_softcapping",
  window: "sliding_window",
  layerTypes: "layer_types",
  ropeScaling: "rope_parameters",
  windowRope: "rope_parameters",
  experts: "num_experts",
  "experts.count": "num_experts",
  "experts.perToken": "num_experts_per_tok",
  "experts.mlpDim": "moe_intermediate_size",
  "experts.auxWeight": "router_aux_loss_coef",
  "experts.every": "decoder_sparse_step",
  "experts.denseLayers": "mlp_only_layers",
};

/** Keys whose null says that the model has no such part. Null means the default for other keys. */
const nullable: ReadonlySet<string> = new Set(["attn_logit_softcapping", "final_logit_softcapping", "sliding_window"]);

/** With the defaults of the family. */
function withDefaults(json: Json, { defaults, name }: HfFamily): Json {
  const given = Object.fromEntries(
    Object.entries(json).filter(([key, value]) => value !== undefined && (value !== null || nullable.has(key))),
  );
  const { hidden_size: width, num_attention_heads: heads } = given;
  const derived =
    traitsOf({ family: name }).activation === "silu" && typeof width === "number" && typeof heads === "number"
      ? { head_dim: Math.floor(width / heads), num_key_value_heads: heads }
      : {};
  return { ...derived, ...defaults, ...given };
}

/**
 * @param file the location in errors
 * @throws LapidaryError with the key that is missing, invalid, or not of the family
 */
function familyConfigFromHf(json: unknown, file: string): ModelConfig {
  const family = checkHfKeys(json, file);
  const complete = withDefaults(json as Json, family);
  const hf = check(hfConfigSchema.safeParse(complete, reported), file, (key) => key);
  const has = (key: string): boolean => family.used.includes(key);
  const types = layerTypesFromHf(hf, family, file);
  const ropes = ropesFromHf({ json: complete, file, contextLength: hf.max_position_embeddings });
  const window = types.includes("window") ? (hf.sliding_window ?? undefined) : undefined;
  const config = {
    ...(family.name === "gemma" ? {} : { family: family.name }),
    ...Object.fromEntries(Object.entries(hfKeys).map(([own, hfKey]) => [own, hf[hfKey]])),
    ropeTheta: ropes.full.theta,
    ...given({
      tied: family.name === "gemma" ? undefined : hf.tie_word_embeddings,
      queryScalar: has("query_pre_attn_scalar") ? hf.query_pre_attn_scalar : undefined,
      attentionCap: has("attn_logit_softcapping") ? hf.attn_logit_softcapping : undefined,
      logitCap: has("final_logit_softcapping") ? hf.final_logit_softcapping : undefined,
      window,
      layerTypes: has("layer_types") && window !== undefined ? types : undefined,
      experts: family.experts?.(check(hfExpertsSchema.safeParse(complete, reported), file, (key) => key)),
      ropeScaling: ropes.full.scaling,
      windowRope: window === undefined || ropes.window === undefined ? undefined : given(ropes.window),
    }),
  };
  const keyOf = (key: string): string => hfKeys[key as keyof typeof hfKeys] ?? optionKeys[key] ?? key;
  return canonicalConfig(check(modelConfigSchema.safeParse(config, reported), file, keyOf));
}

/** The entries that have a value. */
const given = (fields: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));

function layerTypesFromHf(hf: HfConfig, family: HfFamily, file: string): readonly LayerType[] {
  const { layer_types: listed, num_hidden_layers: layers, sliding_window: window, use_sliding_window: uses } = hf;
  if (listed === null || listed === undefined || !family.used.includes("layer_types")) return family.layerTypes?.(hf) ?? ["full"];
  const types = listed.map((name, layer) => {
    const type = layerTypeOfHf.get(name);
    if (type !== undefined) return type;
    throw configError(
      file,
      `layer_types.${layer}`,
      `layer_types.${layer} is ${formatValue(name)}; Lapidary supports ${[...layerTypeOfHf.keys()].join(" and ")}`,
    );
  });
  if (types.length !== layers)
    throw configError(file, "layer_types", `layer_types has ${types.length} entries, num_hidden_layers is ${layers}`);
  if (types.includes("window") && (typeof window !== "number" || uses === false))
    throw configError(file, "sliding_window", "layer_types has sliding_attention, and there is no sliding window");
  return types;
}

/** Ids of control tokens for `config.json`. */
export interface ControlIds {
  readonly bos?: number | undefined;
  readonly pad?: number | undefined;
  /** The ids that end a document. */
  readonly stops: readonly number[];
}

/** The ids of the tokenizers that Lapidary trains. */
const ownControlIds: ControlIds = { pad: 0, stops: [1], bos: 2 };

const controlKeys = ({ pad, stops, bos }: ControlIds): Record<string, unknown> => ({
  pad_token_id: pad ?? null,
  eos_token_id: stops.length > 1 ? stops : stops[0],
  bos_token_id: bos ?? null,
});

/** `config.json` for transformers 4 and 5. */
function familyConfigToHf(config: ModelConfig, control: ControlIds): Record<string, unknown> {
  const family = ensure(
    hfFamilies.find(({ name }) => name === familyOf(config)),
    "family",
  );
  const isGelu = traitsOf(config).activation === "gelu_tanh";
  return {
    architectures: [family.architecture],
    model_type: family.modelType,
    ...Object.fromEntries(Object.entries(hfKeys).map(([own, hfKey]) => [hfKey, config[own as keyof typeof hfKeys]])),
    ...ropesToHf(config),
    ...(isGelu ? { hidden_act: "gelu_pytorch_tanh", hidden_activation: "gelu_pytorch_tanh" } : { hidden_act: "silu" }),
    attention_bias: false,
    attention_dropout: 0,
    tie_word_embeddings: isTied(config),
    ...family.written(config),
    initializer_range: 0.02,
    use_cache: true,
    ...controlKeys(control),
    dtype: "float32",
    torch_dtype: "float32",
  };
}

/** transformers has no such decoder family: its config.json has the names of Lapidary and this model_type. */
const decoderType = "lapidary_decoder";

/** `config.json` of a model of any family. */
export const modelConfigToHf = (config: ModelConfig, control: ControlIds = ownControlIds): Record<string, unknown> =>
  familyOf(config) === "decoder"
    ? { model_type: decoderType, vocab_size: config.vocabSize, ...controlKeys(control), ...config }
    : familyConfigToHf(config, control);

/**
 * @param file the location in errors
 * @throws LAP_CHECKPOINT_CONFIG with the key that is missing, invalid, or not of the family
 */
export function modelConfigFromHf(json: unknown, file = "config.json"): ModelConfig {
  const named = z.looseObject({ model_type: z.literal(decoderType) }).safeParse(json);
  if (!named.success) return familyConfigFromHf(json, file);
  const { model_type: _, vocab_size: _size, pad_token_id: _pad, eos_token_id: _eos, bos_token_id: _bos, ...config } = named.data;
  return check(modelConfigSchema.safeParse(config, reported), file, (key) => key);
}

/**
 * JSON with the configuration of a model. transformers 5 checks types, and a cap or a weight without a fraction would be an integer to it.
 *
 * @param value contains what `modelConfigToHf` returned
 */
export const hfJsonText = (value: unknown, indent = 2): string =>
  `${JSON.stringify(value, null, indent)}\n`.replace(
    /("(?:attn_logit_softcapping|final_logit_softcapping|router_aux_loss_coef|router_jitter_noise)": \d+)(?=,?\n)/g,
    "$1.0",
  );

/** The ids of control tokens in a `config.json`; undefined if it lacks an end-of-text id. */
export async function readControlIds(file: string): Promise<ControlIds | undefined> {
  const ids = z.union([z.number(), z.array(z.number())]);
  const schema = z.looseObject({ bos_token_id: z.number().nullish(), eos_token_id: ids, pad_token_id: z.number().nullish() });
  const parsed = schema.safeParse(await readJson(file));
  if (!parsed.success) return undefined;
  const { bos_token_id: bos, eos_token_id: eos, pad_token_id: pad } = parsed.data;
  return { bos: bos ?? undefined, stops: [eos].flat(), pad: pad ?? undefined };
}

export async function readHfConfig(file: string): Promise<ModelConfig> {
  return (await readHfConfigWithWarnings(file)).config;
}

/** A configuration, and warnings for unknown keys. */
export interface HfConfigWithWarnings {
  readonly config: ModelConfig;
  readonly warnings: readonly Warning[];
}

export const readHfConfigWithWarnings = async (file: string): Promise<HfConfigWithWarnings> => fromJson(await readJson(file), file);

/** The configuration of the text of a `config.json`. @throws LAP_CHECKPOINT_JSON, LAP_CHECKPOINT_CONFIG */
export function parseHfConfig(text: string, file: string): HfConfigWithWarnings {
  let json: unknown;
  try {
    json = JSON.parse(text);
    parseStrictJson(text);
  } catch (cause) {
    const isDuplicate = cause instanceof StrictJsonError && cause.kind === "duplicateKey";
    if (json === undefined || isDuplicate)
      throw new LapidaryError({
        code: "LAP_CHECKPOINT_JSON",
        message: `the file is not JSON: ${(cause as Error).message}`,
        location: file,
        cause,
      });
  }
  return fromJson(json, file);
}

function fromJson(json: unknown, file: string): HfConfigWithWarnings {
  const config = modelConfigFromHf(json, file);
  return { config, warnings: familyOf(config) === "decoder" ? [] : unknownHfKeys(json, file) };
}

/** Reads a JSON file without duplicate keys. Rejects a pipe or a device without reading it. */
export async function readJson(file: string): Promise<unknown> {
  let text: string;
  try {
    if (!(await stat(file)).isFile()) throw new Error("not a regular file");
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_MISSING",
      message: `cannot read the file (${(cause as NodeJS.ErrnoException).code ?? (cause instanceof Error ? cause.message : String(cause))})`,
      location: file,
      remedy: "give the directory of a Hugging Face checkpoint: config.json and model.safetensors",
      cause,
    });
  }
  const fail = (problem: string, cause: unknown): LapidaryError =>
    new LapidaryError({
      code: "LAP_CHECKPOINT_JSON",
      message: `the file is not JSON: ${problem}`,
      location: file,
      cause,
    });
  try {
    const value = JSON.parse(text) as unknown;
    parseStrictJson(text);
    return value;
  } catch (cause) {
    // JSON.parse silently keeps the last of two equal keys.
    if (cause instanceof StrictJsonError && cause.kind === "duplicateKey") throw fail(cause.message, cause);
    if (cause instanceof StrictJsonError) return JSON.parse(text) as unknown;
    const kind = await fileKind(file);
    if (kind?.kind !== "json") rejectOtherKind(kind, file, "a JSON file");
    throw fail((cause as Error).message, cause);
  }
}

function check<T>(result: z.ZodSafeParseResult<T>, file: string, keyName: (key: string) => string): T {
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const [first = "", ...rest] = (issue?.path ?? []).map(String);
  const path = [first, ...rest].join(".");
  const key = keyName(path) === path ? [keyName(first), ...rest].join(".") : keyName(path);
  throw configError(
    file,
    key,
    key === ""
      ? "it is not an object of keys and values"
      : `the key ${key} ${isMissing(issue) ? "is missing" : `is invalid: ${issue?.message ?? "unknown reason"}`}`,
  );
}

/** Issues contain the value that was read, so that errors distinguish a missing key from a wrong value. */
const reported = { reportInput: true } as const;
const isMissing = (issue: z.core.$ZodIssue | undefined): boolean => issue?.code === "invalid_type" && issue.input === undefined;
