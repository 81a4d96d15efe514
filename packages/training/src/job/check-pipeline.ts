import { layerKindOf, type ModelConfig, type PipelineShape } from "@lapidary/models";
import { LapidaryError, counted } from "@lapidary/std";
import { pipelineOf, sizeOfAxes } from "./axis-sizes.js";
import type { ConfigSource } from "./config-source.js";
import type { ResolvedJob } from "./resolved-job.js";

/** Rejects a layout: what does not fit, where the job states it, and a layout that works. */
type Fail = (message: string, location: string, remedy: string) => never;

/**
 * Rejects stages that do not fit: stages and repeats must divide the layers, stages must hold whole periods of the types of layers, and
 * belong to a recipe whose steps run in stages.
 *
 * @throws LAP_PIPELINE_LAYOUT with the nearest layout that works
 */
export function checkPipeline(job: ResolvedJob, source: ConfigSource): void {
  const { pipeline, recipe, model } = job;
  const shape = pipelineOf(job);
  const fail: Fail = (message, location, remedy) => {
    throw new LapidaryError({ code: "LAP_PIPELINE_LAYOUT", message, location, remedy });
  };
  if (shape === undefined) {
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
  checkRepeats(job, shape, source, fail);
  checkLayers(job, shape, source, fail);
  if (model.config.experts !== undefined)
    fail(
      `${model.name} has experts, which stages do not support yet`,
      atMesh,
      "use the mesh axis expert, and give the chips of stage to it or to data",
    );
  const { stages, repeats } = shape;
  const perStage = model.config.layers / (stages * repeats);
  if (pipeline?.layers_per_stage !== undefined && pipeline.layers_per_stage !== perStage)
    fail(
      `pipeline.layers_per_stage is ${pipeline.layers_per_stage}, but ${model.config.layers} layers over ${placesText(shape)} are ${perStage} each`,
      source.locationOf(["pipeline", "layers_per_stage"]),
      `write layers_per_stage: ${perStage}, or remove it`,
    );
}

/** Only the order `circular` has repeats. With repeats, the first stage needs the outputs of the last one M − S ticks after they exist. */
function checkRepeats(job: ResolvedJob, { stages, order, repeats }: Required<PipelineShape>, source: ConfigSource, fail: Fail): void {
  const { config } = job.model;
  const given = job.pipeline?.repeats;
  const [fitting] = fittingRepeats(config, stages);
  if (order !== "circular") {
    if (given === undefined) return;
    fail(
      `pipeline.repeats is ${given}, but the order ${order} has no repeats`,
      source.locationOf(["pipeline", "repeats"]),
      "use pipeline.order: circular, or remove pipeline.repeats",
    );
  }
  if (given === undefined)
    fail(
      "the order circular needs a number of repeats",
      source.locationOf(["pipeline", "order"]),
      fitting === undefined ? "use pipeline.order: gpipe" : `use pipeline.repeats: ${fitting}, or pipeline.order: gpipe`,
    );
  const { batch, microbatches = 1 } = job.train;
  if (repeats === 1 || microbatches >= stages) return;
  const rows = batch / sizeOfAxes(job.mesh, job.rules["batch"] ?? []);
  const enough = Array.from({ length: Math.max(0, rows - stages + 1) }, (_, i) => stages + i).find((n) => rows % n === 0);
  fail(
    `${counted(microbatches, "microbatch", "microbatches")} of the order circular are fewer than the ${stages} stages: the first stage would wait for the last one`,
    source.locationOf(["train", "microbatches"]),
    enough === undefined
      ? "use pipeline.order: gpipe, or a larger train.batch"
      : `use train.microbatches: ${enough}, or pipeline.order: gpipe`,
  );
}

/** Stages and repeats must divide the layers into groups of the same kinds of layers. */
function checkLayers({ model }: ResolvedJob, shape: Required<PipelineShape>, source: ConfigSource, fail: Fail): void {
  const { config, name } = model;
  const { stages, repeats } = shape;
  if (fits(config, stages * repeats)) return;
  const otherRepeats = nearest(fittingRepeats(config, stages), repeats);
  const otherStages = nearest(
    numbersTo(config.layers).filter((n) => n > 1 && fits(config, n * repeats)),
    stages,
  );
  const remedy =
    repeats > 1 && otherRepeats !== undefined
      ? `use pipeline.repeats: ${otherRepeats}`
      : otherStages !== undefined
        ? `use stage: ${otherStages}`
        : "remove the axis stage: no number of stages fits this model";
  const at = repeats > 1 ? source.locationOf(["pipeline", "repeats"]) : source.locationOf(["mesh", "stage"]);
  if (config.layers % (stages * repeats) !== 0)
    fail(`${counted(config.layers, "layer")} of ${name} do not divide over ${placesText(shape)}`, at, remedy);
  const [layer, other] = unequalLayers(config, stages * repeats);
  fail(
    `stages must have the same layers: layer ${layer} of ${name} differs from layer ${other}, which has its place in another stage`,
    at,
    remedy,
  );
}

const placesText = ({ stages, repeats }: Required<PipelineShape>): string =>
  repeats === 1 ? `${stages} stages` : `${stages} stages with ${repeats} repeats`;

/** Two layers that have the same place in their groups, and are of different kinds. */
function unequalLayers(config: ModelConfig, groups: number): [number, number] | [] {
  const size = config.layers / groups;
  for (let layer = size; layer < config.layers; layer++) {
    const first = layer % size;
    if (layerKindOf(config, layer) !== layerKindOf(config, first)) return [layer, first];
  }
  return [];
}

const fits = (config: ModelConfig, groups: number): boolean => config.layers % groups === 0 && unequalLayers(config, groups).length === 0;

const numbersTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

/** The repeats above 1 that fit a number of stages, the fewest first. */
const fittingRepeats = (config: ModelConfig, stages: number): number[] =>
  numbersTo(config.layers).filter((n) => n > 1 && fits(config, stages * n));

/** The nearest of the numbers; the smaller of two. */
const nearest = (fitting: readonly number[], to: number): number | undefined =>
  fitting.reduce<number | undefined>((near, n) => (near === undefined || Math.abs(n - to) < Math.abs(near - to) ? n : near), undefined);
