import { ensure } from "@lapidary/std";
import { type ParamSpec, storedTensors } from "../model.js";

/** Names of stacks begin with it: `model.stages.layers.0.mlp.up_proj.weight` has a slice for the first layer of each stage. */
const stagePrefix = "model.stages.";

/** The layer of the model that is layer `layer` of a stage. */
const layerOfStage = (stage: number, layer: number, layersPerStage: number): number => stage * layersPerStage + layer;

/**
 * The parameters of a pipeline: the arrays [out, in] of one layer of every stage become one array [stages, out, in]. A checkpoint stores
 * the slices under their own names.
 *
 * @param params of the model without stages
 */
export function stackParams(params: readonly ParamSpec[], layersPerStage: number, stages: number): ParamSpec[] {
  const byName = new Map(params.map((spec) => [spec.name, spec]));
  return params.flatMap((spec): ParamSpec[] => {
    const { name, block, dims, logicalAxes, init } = spec;
    if (block === undefined) return [spec];
    if (block >= layersPerStage) return [];
    const layers = Array.from({ length: stages }, (_, stage) => ofLayer(name, layerOfStage(stage, block, layersPerStage)));
    const members = layers.map((layer) => ensure(byName.get(layer), layer));
    return [
      {
        name: name.replace(/^model\./, stagePrefix),
        dims: [stages, ...dims],
        logicalAxes: ["stages", ...logicalAxes],
        init,
        block,
        layers,
        parts: members.flatMap(storedTensors).map((stored) => stored.name),
      },
    ];
  });
}

/** The name of the same weight in another layer. */
const ofLayer = (name: string, layer: number): string => name.replace(/\.layers\.\d+\./, `.layers.${layer}.`);
