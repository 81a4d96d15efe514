import { layerKindOf, type ModelConfig } from "@lapidary/models";
import { LapidaryError, counted } from "@lapidary/std";
import { stagesOf } from "./axis-sizes.js";
import type { ConfigSource } from "./config-source.js";
import type { ResolvedJob } from "./resolved-job.js";

/**
 * Rejects stages that do not fit: they must divide the layers, hold whole periods of the types of layers, and belong to a recipe whose
 * steps run in stages.
 *
 * @throws LAP_PIPELINE_LAYOUT with the nearest number of stages that fits
 */
export function checkPipeline(job: ResolvedJob, source: ConfigSource): void {
  const { pipeline, recipe, model } = job;
  const { config } = model;
  const stages = stagesOf(job);
  const fail = (message: string, location: string, remedy: string): never => {
    throw new LapidaryError({ code: "LAP_PIPELINE_LAYOUT", message, location, remedy });
  };
  if (stages === 1) {
    if (pipeline !== undefined)
      fail(
        "the mesh has no stages, so that pipeline has no effect",
        source.locationOf(["pipeline"]),
        "add an axis stage to the mesh, such as mesh: { data: 4, stage: 4 }, or remove pipeline",
      );
    return;
  }
  const atMesh = source.locationOf(["mesh", "stage"]);
  if (recipe !== undefined)
    fail(
      `the recipe ${recipe} does not run in stages: only pretraining does`,
      atMesh,
      "give the chips of stage to another axis, such as data",
    );
  const fitting = stageCounts(config);
  const nearest = (): string => nearestOf(fitting, stages);
  if (config.layers % stages !== 0)
    fail(`${counted(config.layers, "layer")} of ${model.name} do not divide over ${stages} stages`, atMesh, `use stage: ${nearest()}`);
  if (!fitting.includes(stages)) {
    const [layer, other] = unequalLayers(config, stages);
    fail(
      `stages must have the same layers: layer ${layer} of ${model.name} differs from layer ${other}, which has its place in another stage`,
      atMesh,
      fitting.length === 1 ? "remove the axis stage: no number of stages fits this model" : `use stage: ${nearest()}`,
    );
  }
  if (config.experts !== undefined)
    fail(
      `${model.name} has experts, which stages do not support yet`,
      atMesh,
      "use the mesh axis expert, and give the chips of stage to it or to data",
    );
  const perStage = config.layers / stages;
  if (pipeline?.layers_per_stage !== undefined && pipeline.layers_per_stage !== perStage)
    fail(
      `pipeline.layers_per_stage is ${pipeline.layers_per_stage}, but ${config.layers} layers over ${stages} stages are ${perStage} each`,
      source.locationOf(["pipeline", "layers_per_stage"]),
      `write layers_per_stage: ${perStage}, or remove it`,
    );
}

/** Two layers that have the same place in their stages, and are of different kinds. */
function unequalLayers(config: ModelConfig, stages: number): [number, number] | [] {
  const perStage = config.layers / stages;
  for (let layer = perStage; layer < config.layers; layer++) {
    const first = layer % perStage;
    if (layerKindOf(config, layer) !== layerKindOf(config, first)) return [layer, first];
  }
  return [];
}

/** The numbers of stages that fit a model, 1 among them. */
const stageCounts = (config: ModelConfig): number[] =>
  Array.from({ length: config.layers }, (_, i) => i + 1).filter(
    (stages) => config.layers % stages === 0 && unequalLayers(config, stages).length === 0,
  );

/** The nearest of the numbers above 1. */
function nearestOf(fitting: readonly number[], stages: number): string {
  const many = fitting.filter((n) => n > 1);
  const best = many.reduce<number | undefined>(
    (near, n) => (near === undefined || Math.abs(n - stages) < Math.abs(near - stages) ? n : near),
    undefined,
  );
  return best === undefined ? "1" : String(best);
}
