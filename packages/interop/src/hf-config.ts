import { readFile, stat } from "node:fs/promises";
import { decoderConfigSchema, type GemmaConfig, gemmaConfigSchema, isDecoder, type ModelConfig } from "@lapidary/models";
import { LapidaryError, type Warning } from "@lapidary/std";
import { z } from "zod";
import { fileKind, rejectOtherKind } from "./file-kind.js";
import { checkHfKeys, configError, unknownHfKeys } from "./hf-keys.js";
import { parseStrictJson, StrictJsonError } from "./strict-json.js";

/** The keys of a `config.json` of Gemma 1 that the model is built from. `hf-keys.ts` checks the others. */
const hfConfigSchema = z.looseObject({
  vocab_size: z.number(),
  hidden_size: z.number(),
  num_hidden_layers: z.number(),
  num_attention_heads: z.number(),
  num_key_value_heads: z.number(),
  head_dim: z.number(),
  intermediate_size: z.number(),
  max_position_embeddings: z.number().default(8192),
  rms_norm_eps: z.number().default(1e-6),
  /** Before transformers 5. */
  rope_theta: z.number().nullish(),
  /** From transformers 5 on. */
  rope_parameters: z.looseObject({ rope_theta: z.number().nullish() }).nullish(),
});

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
  ropeTheta: "rope_theta",
} as const satisfies Record<keyof GemmaConfig, string>;

/**
 * @param file the location in errors
 * @throws LapidaryError with the key that is missing, invalid, or not Gemma 1
 */
export function gemmaConfigFromHf(json: unknown, file = "config.json"): GemmaConfig {
  checkHfKeys(json, file);
  const hf = check(hfConfigSchema.safeParse(json, reported), file, (key) => key);
  const config = Object.fromEntries(Object.entries(hfKeys).map(([own, hfKey]) => [own, hf[hfKey]]));
  return check(
    gemmaConfigSchema.safeParse({ ...config, ropeTheta: hf.rope_parameters?.rope_theta ?? hf.rope_theta ?? 10000 }, reported),
    file,
    (key) => hfKeys[key as keyof GemmaConfig] ?? key,
  );
}

/** Ids of control tokens for `config.json`. */
export interface ControlIds {
  readonly bos?: number | undefined;
  readonly pad: number;
  /** The ids that end a document. */
  readonly stops: readonly number[];
}

/** The ids of the tokenizers that Lapidary trains. */
const ownControlIds: ControlIds = { pad: 0, stops: [1], bos: 2 };

const controlKeys = ({ pad, stops, bos }: ControlIds): Record<string, unknown> => ({
  pad_token_id: pad,
  eos_token_id: stops.length > 1 ? stops : stops[0],
  bos_token_id: bos ?? null,
});

/** `config.json` for transformers 4 and 5. */
export function gemmaConfigToHf(config: GemmaConfig, control: ControlIds = ownControlIds): Record<string, unknown> {
  return {
    architectures: ["GemmaForCausalLM"],
    model_type: "gemma",
    ...Object.fromEntries(Object.entries(hfKeys).map(([own, hfKey]) => [hfKey, config[own as keyof GemmaConfig]])),
    rope_parameters: { rope_type: "default", rope_theta: config.ropeTheta },
    hidden_act: "gelu_pytorch_tanh",
    hidden_activation: "gelu_pytorch_tanh",
    attention_bias: false,
    attention_dropout: 0,
    tie_word_embeddings: true,
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
  isDecoder(config)
    ? { model_type: decoderType, vocab_size: config.vocabSize, ...controlKeys(control), ...config }
    : gemmaConfigToHf(config, control);

/**
 * @param file the location in errors
 * @throws LapidaryError as `gemmaConfigFromHf`
 */
export function modelConfigFromHf(json: unknown, file = "config.json"): ModelConfig {
  const named = z.looseObject({ model_type: z.literal(decoderType) }).safeParse(json);
  if (!named.success) return gemmaConfigFromHf(json, file);
  const { model_type: _, vocab_size: _size, pad_token_id: _pad, eos_token_id: _eos, bos_token_id: _bos, ...config } = named.data;
  return check(decoderConfigSchema.safeParse(config, reported), file, (key) => key);
}

/** The ids of control tokens in a `config.json`; undefined if it lacks an end-of-text id or a padding id. */
export async function readControlIds(file: string): Promise<ControlIds | undefined> {
  const ids = z.union([z.number(), z.array(z.number())]);
  const schema = z.looseObject({ bos_token_id: z.number().nullish(), eos_token_id: ids, pad_token_id: z.number() });
  const parsed = schema.safeParse(await readJson(file));
  if (!parsed.success) return undefined;
  const { bos_token_id: bos, eos_token_id: eos, pad_token_id: pad } = parsed.data;
  return { bos: bos ?? undefined, stops: [eos].flat(), pad };
}

export async function readHfConfig(file: string): Promise<ModelConfig> {
  return (await readHfConfigWithWarnings(file)).config;
}

/** The configuration, and warnings for unknown keys. */
export async function readHfConfigWithWarnings(
  file: string,
): Promise<{ readonly config: ModelConfig; readonly warnings: readonly Warning[] }> {
  const json = await readJson(file);
  const config = modelConfigFromHf(json, file);
  return { config, warnings: isDecoder(config) ? [] : unknownHfKeys(json, file) };
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
  const key = [keyName(first), ...rest].join(".");
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
