import { type GraphBuilder, type LogicalAxes, tensorType, type Value, type ValueRole } from "@lapidary/ir";
import type { Model, ParamInit } from "@lapidary/models";
import { optimizerSlots } from "../optimizer/optimizer.js";
import type { OptimizerConfig } from "../optimizer/optimizer-config.js";

/** Prefixes of names in step programs: `params/<Hugging Face name>`, `adam_m/<…>`, `grads/<…>`. */
export const paramName = (name: string): string => `params/${name}`;
export const gradientName = (name: string): string => `grads/${name}`;

/** The number of steps done, f32 scalar: exact up to 2²⁴. */
export const stepName = "step";

/** One array that a run carries from step to step. */
export interface StateSpec {
  readonly name: string;
  readonly dims: readonly number[];
  readonly logicalAxes: LogicalAxes;
  readonly role: Extract<ValueRole, "param" | "optimizer">;
  readonly init: ParamInit;
}

/** All state of a run, in the order of the programs' parameters: weights, optimizer state, the step. */
export function trainState(model: Model, optimizer: OptimizerConfig): StateSpec[] {
  return [
    ...model.params.map((spec): StateSpec => ({ ...spec, name: paramName(spec.name), role: "param" })),
    ...optimizerSlots(optimizer).flatMap((slot) =>
      model.params.map(
        ({ name, dims, logicalAxes }): StateSpec => ({
          name: `${slot}/${name}`,
          dims,
          logicalAxes,
          role: "optimizer",
          init: { kind: "zeros" },
        }),
      ),
    ),
    { name: stepName, dims: [], logicalAxes: [], role: "optimizer", init: { kind: "zeros" } },
  ];
}

/** The model's weights as parameters of a graph, by Hugging Face name. */
export function weightParameters(g: GraphBuilder, model: Model): Map<string, Value> {
  return new Map(
    model.params.map(({ name, dims, logicalAxes }) => [name, g.parameter(paramName(name), tensorType("f32", dims), logicalAxes, "param")]),
  );
}
