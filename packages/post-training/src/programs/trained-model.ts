import type { GraphBuilder, Value } from "@lapidary/ir";
import {
  type HiddenOptions,
  type LoraConfig,
  type Model,
  type ParamSpec,
  type ParamValues,
  loraAdapters,
  loraParams,
} from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { type StateSpec, type UpdateConfig, paramName, stateParameter, trainState } from "@lapidary/training";

/** The name of a parameter of another parameter set than the policy, such as `value.score.weight`. */
export const inSet = (set: string, name: string): string => `${set}.${name}`;

/** The parameters of a set as parameters of a graph, by the model's own names. */
export const setParameters = (g: GraphBuilder, params: readonly ParamSpec[], set?: string): ParamValues =>
  new Map(
    params.map((spec) => {
      const name = set === undefined ? spec.name : inSet(set, spec.name);
      return [spec.name, stateParameter(g, { ...spec, name: paramName(name), role: "param" })];
    }),
  );

/** What a step trains besides, or instead of, the weights of a model. */
export interface TrainedParts {
  /** Trains this adapter; the weights of the model are frozen. */
  readonly lora?: LoraConfig | undefined;
  /** Parameters that are trained whole, with an adapter too: the head of a reward model, or a value model. */
  readonly also?: readonly ParamSpec[];
}

/** A model in a step program: all weights, or only an adapter's, are trained. */
export interface TrainedModel {
  /** The trained parameters. */
  readonly params: readonly ParamSpec[];
  /** Trained parameters, optimizer state and step, by state name. */
  readonly states: ReadonlyMap<string, Value>;
  /** All weights of the model, by name. */
  readonly weights: ParamValues;
  readonly adapters: HiddenOptions["adapters"];
}

const trainedParams = (model: Pick<Model, "params">, { lora, also = [] }: TrainedParts): readonly ParamSpec[] => [
  ...(lora === undefined ? model.params : loraParams(model, lora)),
  ...also,
];

/** The states of a run that trains the model, or its adapter. */
export const trainedStates = (model: Pick<Model, "params">, { optimizer }: UpdateConfig, parts: TrainedParts = {}): StateSpec[] =>
  trainState({ params: trainedParams(model, parts) }, optimizer);

/** The weights of the model as parameters that no step changes. Empty without an adapter. */
export const frozenWeights = (model: Pick<Model, "params">, { lora }: Pick<TrainedParts, "lora">): StateSpec[] =>
  lora === undefined ? [] : model.params.map(({ name, ...spec }) => ({ ...spec, name: paramName(name), role: "param", weight: name }));

/** Declares the states, and for an adapter the frozen weights, as parameters of the graph. */
export function trainedModel(
  g: GraphBuilder,
  model: Pick<Model, "params">,
  update: UpdateConfig,
  { lora, also = [] }: TrainedParts = {},
): TrainedModel {
  const params = trainedParams(model, { lora, also });
  const states = new Map(trainedStates(model, update, { lora, also }).map((spec) => [spec.name, stateParameter(g, spec)]));
  const byName = (specs: readonly ParamSpec[]): Map<string, Value> =>
    new Map(specs.map(({ name }) => [name, ensure(states.get(paramName(name)), name)]));
  if (lora === undefined) return { params, states, weights: byName(params), adapters: undefined };
  const weights = new Map([...setParameters(g, model.params), ...byName(also)]);
  return { params, states, weights, adapters: loraAdapters(model, lora, byName(loraParams(model, lora))) };
}

/** The options with the adapters of the model. */
export const withAdapters = (options: HiddenOptions, adapters: HiddenOptions["adapters"]): HiddenOptions =>
  adapters === undefined ? options : { ...options, adapters };

/** The model with its adapter as a model whose parameters are the weights and the matrices of the adapter. */
export function adaptedModel(model: Model, lora: LoraConfig | undefined): Model {
  if (lora === undefined) return model;
  return {
    ...model,
    params: [...model.params, ...loraParams(model, lora)],
    hidden: (g, params, tokens, options = {}) => model.hidden(g, params, tokens, withAdapters(options, loraAdapters(model, lora, params))),
    unembed: (g, params, hidden) => model.unembed(g, params, hidden),
  };
}
