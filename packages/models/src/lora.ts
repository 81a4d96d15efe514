import type { Value } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import type { Adapter, Model, ParamSpec } from "./model.js";

/** The projections that LoRA can change, by PEFT's names of modules. */
export const loraTargets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
type LoraTarget = (typeof loraTargets)[number];

/** The settings of an adapter. Keys are those of PEFT's `adapter_config.json`, without its prefixes. */
export interface LoraConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly targets: readonly LoraTarget[];
}

/** PEFT's name of one of the two matrices of a weight such as `model.layers.0.self_attn.q_proj.weight`. */
export const loraName = (weight: string, matrix: "A" | "B"): string =>
  `base_model.model.${weight.replace(/\.weight$/, "")}.lora_${matrix}.weight`;

/** The weights that an adapter changes. */
export const loraWeights = (model: Pick<Model, "params">, { targets }: LoraConfig): readonly ParamSpec[] =>
  model.params.filter(
    ({ name, dims, parts }) =>
      dims.length === (parts === undefined ? 2 : 3) && targets.some((target) => name.endsWith(`.${target}.weight`)),
  );

/**
 * The trained matrices of an adapter, A [r, in] and B [out, r] for each weight; of a stack of weights, a stack of each. The rank is never
 * sharded. A is drawn, B is zero: the adapter first changes nothing.
 */
export function loraParams(model: Pick<Model, "params">, config: LoraConfig): ParamSpec[] {
  return loraWeights(model, config).flatMap(({ name, dims, logicalAxes, parts, ...rest }): ParamSpec[] => {
    const [leading, [out = 0, width = 0]] = [dims.slice(0, -2), dims.slice(-2)];
    const [ofLeading, [ofOut = null, ofWidth = null]] = [logicalAxes.slice(0, -2), logicalAxes.slice(-2)];
    const partsOf = (matrix: "A" | "B"): Pick<ParamSpec, "parts"> =>
      parts === undefined ? {} : { parts: parts.map((part) => loraName(part, matrix)) };
    return [
      {
        ...rest,
        name: loraName(name, "A"),
        dims: [...leading, config.rank, width],
        logicalAxes: [...ofLeading, null, ofWidth],
        // Kaiming-uniform with a = √5, as in PEFT, has this standard deviation.
        init: { kind: "normal", scale: 1 / Math.sqrt(3 * width) },
        ...partsOf("A"),
      },
      {
        ...rest,
        name: loraName(name, "B"),
        dims: [...leading, out, config.rank],
        logicalAxes: [...ofLeading, ofOut, null],
        init: { kind: "zeros" },
        ...partsOf("B"),
      },
    ];
  });
}

/** The adapters of a graph by the name of the weight that they change. */
export function loraAdapters(
  model: Pick<Model, "params">,
  config: LoraConfig,
  values: ReadonlyMap<string, Value>,
): ReadonlyMap<string, Adapter> {
  assert(config.rank > 0, "a rank is positive", config.rank);
  const matrix = (name: string): Value => ensure(values.get(name), name);
  return new Map(
    loraWeights(model, config).map(({ name }) => [
      name,
      { a: matrix(loraName(name, "A")), b: matrix(loraName(name, "B")), scale: config.alpha / config.rank },
    ]),
  );
}
