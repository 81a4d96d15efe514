import { ensure } from "@lapidary/std";
import { type ParamSpec, storedTensors } from "../model.js";

/** Names of stacks begin with it: `model.stages.layers.0.mlp.up_proj.weight` has a slice for the first layer of each stage. */
const stagePrefix = "model.stages.";

/** The stages of a pipeline and their layers. */
interface StageLayers {
  readonly stages: number;
  readonly repeats: number;
  readonly layersPerStage: number;
}

/** By stage and repeat, the layer of the model that is layer `layer` of the stage in that repeat. */
const layersOfStages = ({ stages, repeats, layersPerStage }: StageLayers, layer: number): number[] =>
  Array.from({ length: stages * repeats }, (_, i) => {
    const [stage, repeat] = [Math.floor(i / repeats), i % repeats];
    return (repeat * stages + stage) * layersPerStage + layer;
  });

/**
 * The parameters of a pipeline: the arrays [out, in] of one layer of every stage become one array [stages, out, in], with repeats
 * [stages, repeats, out, in]. A checkpoint stores the slices under their own names.
 *
 * @param params of the model without stages
 */
export function stackParams(params: readonly ParamSpec[], shape: StageLayers): ParamSpec[] {
  const leading = shape.repeats === 1 ? [shape.stages] : [shape.stages, shape.repeats];
  const byName = new Map(params.map((spec) => [spec.name, spec]));
  return params.flatMap((spec): ParamSpec[] => {
    const { name, block, dims, logicalAxes, init } = spec;
    if (block === undefined) return [spec];
    if (block >= shape.layersPerStage) return [];
    const layers = layersOfStages(shape, block).map((layer) => ofLayer(name, layer));
    const members = layers.map((layer) => ensure(byName.get(layer), layer));
    return [
      {
        name: name.replace(/^model\./, stagePrefix),
        dims: [...leading, ...dims],
        logicalAxes: ["stages", ...leading.slice(1).map(() => null), ...logicalAxes],
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
