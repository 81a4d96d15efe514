import { type ModelConfig, type Rope, ropeOf, type RopeScaling } from "@lapidary/models";
import { configError } from "./hf-error.js";
import { formatValue, isObject, type Json } from "./hf-requirements.js";

/** Rotary embedding of the layers of both types. */
export interface HfRopes {
  readonly full: Rope;
  /** Absent if it is that of full layers. */
  readonly window?: Rope;
}

interface HfRopeSource {
  /** With the defaults of the family. */
  readonly json: Json;
  readonly file: string;
  readonly contextLength: number;
}

/**
 * Rotary embedding from the keys of transformers 4 (`rope_theta`, `rope_scaling`, `rope_local_base_freq`) and 5 (`rope_parameters`, for all
 * layers or by the type of layers).
 *
 * @throws LAP_CHECKPOINT_CONFIG with the key that is not supported, or that contradicts another
 */
export function ropesFromHf(source: HfRopeSource): HfRopes {
  const { json, file } = source;
  const { rope_parameters: given, rope_scaling: scaling, rope_local_base_freq: local } = json;
  const byType = isObject(given) && (isObject(given["full_attention"]) || isObject(given["sliding_attention"])) ? given : undefined;
  const theta = json["rope_theta"];
  const read = (value: unknown, key: string, base: unknown): Rope => ropeOfHf(source, value, key, base);
  const fromParameters =
    byType === undefined ? read(given, "rope_parameters", theta) : read(byType["full_attention"], "rope_parameters.full_attention", theta);
  const fromScaling = isObject(scaling) ? read(scaling, "rope_scaling", fromParameters.theta) : undefined;
  const isGiven = isObject(byType === undefined ? given : byType["full_attention"]);
  if (fromScaling !== undefined && isGiven && scalingText(fromScaling) !== scalingText(fromParameters))
    throw configError(file, "rope_scaling", "rope_scaling and rope_parameters contradict each other");
  const full = fromScaling ?? fromParameters;
  if (byType === undefined && typeof local !== "number") return { full };
  const window = read(byType?.["sliding_attention"], "rope_parameters.sliding_attention", local ?? theta);
  return { full, window };
}

const scalingText = ({ theta, scaling }: Rope): string => JSON.stringify([theta, Object.entries(scaling ?? {}).sort()]);

/** The keys of each type of scaling. An original context does not change linear scaling. */
const keysOf: Readonly<Record<string, readonly string[]>> = {
  default: [],
  linear: ["factor", "original_max_position_embeddings"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
};

function ropeOfHf({ file, contextLength }: HfRopeSource, value: unknown, key: string, base: unknown): Rope {
  const fields: Json = isObject(value) ? value : {};
  const fail = (name: string, problem: string): Error => configError(file, `${key}.${name}`, `${key}.${name} is ${problem}`);
  const number = (name: string, fallback?: unknown): number => {
    const found = fields[name] ?? fallback;
    if (typeof found === "number") return found;
    throw fail(name, found === undefined ? "missing" : `${formatValue(found)}, not a number`);
  };
  const named = fields["rope_type"] === undefined ? "type" : "rope_type";
  const type = fields[named] ?? "default";
  const known = typeof type === "string" && Object.hasOwn(keysOf, type) ? keysOf[type] : undefined;
  if (known === undefined) throw fail(named, `${formatValue(type)}; Lapidary supports ${Object.keys(keysOf).join(", ")}`);
  for (const [name, found] of Object.entries(fields)) {
    if (found === null || ["rope_type", "type", "rope_theta", ...known].includes(name)) continue;
    if (name === "partial_rotary_factor" && found === 1) continue;
    throw fail(name, `${formatValue(found)}, which the type ${formatValue(type)} does not have`);
  }
  const theta = number("rope_theta", base);
  if (type === "default") return { theta };
  if (type === "linear") return { theta, scaling: { kind: "linear", factor: number("factor") } };
  return {
    theta,
    scaling: {
      kind: "llama3",
      factor: number("factor"),
      lowFreqFactor: number("low_freq_factor"),
      highFreqFactor: number("high_freq_factor"),
      originalContext: number("original_max_position_embeddings", contextLength),
    },
  };
}

const scalingToHf = (scaling: RopeScaling | undefined): Json =>
  scaling === undefined
    ? { rope_type: "default" }
    : scaling.kind === "linear"
      ? { rope_type: "linear", factor: scaling.factor }
      : {
          rope_type: "llama3",
          factor: scaling.factor,
          low_freq_factor: scaling.lowFreqFactor,
          high_freq_factor: scaling.highFreqFactor,
          original_max_position_embeddings: scaling.originalContext,
        };

const ropeToHf = ({ theta, scaling }: Rope): Json => ({ ...scalingToHf(scaling), rope_theta: theta });

/** The keys of transformers 4 and 5. Only Gemma 3 has two rotary embeddings. */
export function ropesToHf(config: ModelConfig): Json {
  const full = ropeOf(config, "full");
  const base: Json = { rope_theta: full.theta, ...(full.scaling === undefined ? {} : { rope_scaling: scalingToHf(full.scaling) }) };
  if (config.family !== "gemma3") return { ...base, rope_parameters: ropeToHf(full) };
  const window = ropeOf(config, "window");
  return {
    ...base,
    rope_local_base_freq: window.theta,
    rope_parameters: { full_attention: ropeToHf(full), sliding_attention: ropeToHf(window) },
  };
}
