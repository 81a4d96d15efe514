import { type GraphBuilder, type LogicalAxes, tensorType, type Value, type ValueRole } from "@lapidary/ir";
import type { Model, ParamInit } from "@lapidary/models";
import { optimizerSlots } from "../optimizer/optimizer.js";
import type { OptimizerConfig } from "../optimizer/optimizer-config.js";

/** Names in step programs: `params/<Hugging Face name>`, `adam_m/<…>`, `grads/<…>`. The role of an array, never its name, says what it is. */
export const paramName = (name: string): string => `params/${name}`;
export const gradientName = (name: string): string => `grads/${name}`;

/** The number of completed steps, f32 scalar: exact up to 2²⁴. */
export const stepName = "step";

/** The role of a state: a weight, optimizer state of a weight, or the number of completed steps. */
type StateRole = "param" | "optimizer" | "step";

/** One array that a run carries from step to step. */
export interface StateSpec {
  readonly name: string;
  readonly dims: readonly number[];
  readonly logicalAxes: LogicalAxes;
  readonly role: StateRole;
  /** Hugging Face name of the weight that the state is or belongs to; undefined for the step. */
  readonly weight?: string;
  /** Block of the model that the weight belongs to. */
  readonly block?: number;
  readonly init: ParamInit;
  /** Of a stack over the stages of a pipeline: the weights of the layers that it holds, or whose state it holds. */
  readonly layers?: readonly string[];
}

/** The role of a state in a graph, which counts the step as optimizer state. */
export const valueRoleOf = ({ role }: Pick<StateSpec, "role">): ValueRole => (role === "step" ? "optimizer" : role);

/** Of a stack over the stages of a pipeline: the names of the same state of its layers, in order. */
export const statesOfLayers = ({ name, weight = "", layers }: Pick<StateSpec, "name" | "weight" | "layers">): string[] | undefined =>
  layers?.map((layer) => name.replace(weight, layer));

/** All state of a run, in the order of the programs' parameters: weights, optimizer state, the step. */
export function trainState(model: Pick<Model, "params">, optimizer: OptimizerConfig): StateSpec[] {
  return [
    ...paramStates(model),
    ...optimizerSlots(optimizer).flatMap((slot) =>
      model.params.map(
        ({ name, ...spec }): StateSpec => ({
          ...spec,
          name: `${slot}/${name}`,
          role: "optimizer",
          weight: name,
          init: { kind: "zeros" },
        }),
      ),
    ),
    { name: stepName, dims: [], logicalAxes: [], role: "step", init: { kind: "zeros" } },
  ];
}

/** The weights of a model without the states of an optimizer. */
export const paramStates = (model: Pick<Model, "params">): StateSpec[] =>
  model.params.map((spec): StateSpec => ({ ...spec, name: paramName(spec.name), role: "param", weight: spec.name }));

/** A state as a parameter of a graph. */
export const stateParameter = (g: GraphBuilder, spec: Pick<StateSpec, "name" | "dims" | "logicalAxes" | "role" | "block">): Value =>
  g.inBlock(spec.block, () => g.parameter(spec.name, tensorType("f32", spec.dims), spec.logicalAxes, valueRoleOf(spec)));

/**
 * The model's weights as parameters of a graph, by Hugging Face name.
 *
 * @param role `gathered` if another program has gathered the shards of ZeRO-3
 */
export function weightParameters(g: GraphBuilder, model: Pick<Model, "params">, role: "param" | "gathered" = "param"): Map<string, Value> {
  return new Map(
    model.params.map(({ name, dims, logicalAxes, block }) => [
      name,
      g.inBlock(block, () => g.parameter(paramName(name), tensorType("f32", dims), logicalAxes, role)),
    ]),
  );
}
