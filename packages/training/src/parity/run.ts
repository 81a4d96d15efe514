import { type ArrayData, f32Array, partsOfArray, stackArrays } from "@lapidary/interop";
import type { Graph } from "@lapidary/ir";
import { type BuildOptions, buildModel, type Model } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { gradientName, paramName, trainState } from "../step/train-state.js";
import { trainStep, type TrainStepOptions } from "../step/train-step.js";
import type { ParityBatch, ParityBundle } from "./bundle.js";
import { maxAbsDifference, type ParityDeviations, rmsDifference, largestGradientDeviation } from "./compare.js";

/** Runs a graph on whole arrays: the reference interpreter, or a worker group that compiles the graph for a mesh. */
export interface GraphRunner {
  /**
   * @param name of the graph; a name always denotes the same graph
   * @param inputs one array for each parameter of the graph
   * @returns one array for each output
   */
  run(name: string, graph: Graph, inputs: ReadonlyMap<string, ArrayData>): Promise<ReadonlyMap<string, ArrayData>>;
}

/** How the programs of a parity run compute the same numbers. */
export interface ParityOptions extends ParityStepOptions {
  readonly build?: BuildOptions | undefined;
}

/** The graphs of a parity run: the plain train step, and one that also returns logits and gradients. */
function parityGraphs(
  { config, update, batch, seq }: ParityBundle,
  { build, ...options }: ParityOptions,
): { train: Graph; inspect: Graph } {
  const model = buildModel(config, build);
  return {
    train: trainStep(model, update, { batch, seq }, options),
    inspect: trainStep(model, update, { batch, seq }, { withGradients: true, withLogits: true, ...options }),
  };
}

/** How the steps of a parity run compute the loss; by default of the whole batch from all logits. */
type ParityStepOptions = Pick<TrainStepOptions, "chunks" | "microbatches">;

/**
 * Runs the batches of a bundle and computes the deviations from the reference: logits and gradients of batch 0 (for all
 * tokens and for the targets of fine-tuning), loss of every step, params after the first and the last.
 */
export async function runParity(bundle: ParityBundle, runner: GraphRunner, options: ParityOptions = {}): Promise<ParityDeviations> {
  const { expected } = bundle;
  const graphs = parityGraphs(bundle, options);
  const model = buildModel(bundle.config, options.build);
  const initial = initialState(bundle, model);
  const inspect = (batch: ParityBatch): Promise<ReadonlyMap<string, ArrayData>> =>
    runner.run("inspect", graphs.inspect, new Map([...initial, ...batch]));

  const first = await inspect(ensure(bundle.batches[0], "batch 0"));
  const sft = await inspect(bundle.sft);
  const gradients = largestGradientDeviation(byWeight(first, model, gradientName), expected.gradients);
  const sftGradients = largestGradientDeviation(byWeight(sft, model, gradientName), expected.sftGradients);

  const losses: number[] = [];
  let state: ReadonlyMap<string, ArrayData> = initial;
  const norms: number[] = [];
  let afterFirst: ReadonlyMap<string, ArrayData> | undefined;
  for (const batch of bundle.batches) {
    const out = await runner.run("train", graphs.train, new Map([...state, ...batch]));
    losses.push(scalar(out, "loss"));
    norms.push(scalar(out, "grad_norm"));
    state = new Map([...state.keys()].map((name) => [name, ensure(out.get(name), name)]));
    afterFirst ??= state;
  }
  const sftIsWorse = !(sftGradients.deviation <= gradients.deviation) && !Number.isNaN(gradients.deviation);
  return {
    logits_max_abs: maxAbsDifference(ensure(first.get("logits"), "logits"), expected.logits),
    loss_abs: losses.map((loss, step) => Math.abs(loss - ensure(expected.losses[step], "loss"))),
    grads_max_rel_l2: sftIsWorse ? sftGradients.deviation : gradients.deviation,
    grads_worst: sftIsWorse ? `sft ${sftGradients.name}` : gradients.name,
    grad_norm_rel: relativeDifference(ensure(norms[0], "norm"), globalNormOf(expected.gradients)),
    params_step1_rms: rmsDifference(byWeight(ensure(afterFirst, "state"), model, paramName), expected.paramsAfterFirst),
    params_step5_rms: rmsDifference(byWeight(state, model, paramName), expected.paramsAfterLast),
    sft_loss_abs: Math.abs(scalar(sft, "loss") - expected.sftLoss),
  };
}

/** The weights of the bundle, and zeros for the other states. */
function initialState({ update, weights }: ParityBundle, model: Model): Map<string, ArrayData> {
  return new Map(
    trainState(model, update.optimizer).map(({ name, dims, role, weight }) => [
      name,
      (role === "param" ? stackedWeight(model, weights, weight ?? "") : undefined) ??
        f32Array(dims, new Float32Array(dims.reduce((a, b) => a * b, 1))),
    ]),
  );
}

/** A parameter of a model from the weights of a bundle, which has no stages. */
function stackedWeight({ params }: Model, weights: ReadonlyMap<string, ArrayData>, name: string): ArrayData | undefined {
  const { layers, dims = [] } = params.find((spec) => spec.name === name) ?? {};
  if (layers === undefined) return weights.get(name);
  return stackArrays(
    layers.map((layer) => ensure(weights.get(layer), layer)),
    dims,
  );
}

/** The arrays that belong to weights, by the name of the weight in a model without stages. */
const byWeight = (arrays: ReadonlyMap<string, ArrayData>, { params }: Model, nameOf: (weight: string) => string): Map<string, ArrayData> =>
  new Map(
    params.flatMap(({ name, layers }) =>
      partsOfArray({ name, array: ensure(arrays.get(nameOf(name)), name), ...(layers === undefined ? {} : { parts: layers }) }),
    ),
  );

const scalar = (arrays: ReadonlyMap<string, ArrayData>, name: string): number => ensure(ensure(arrays.get(name), name).data[0], name);

/** Norm of all elements of all arrays. */
function globalNormOf(arrays: ReadonlyMap<string, ArrayData>): number {
  let sum = 0;
  for (const { data } of arrays.values()) for (const x of data) sum += x * x;
  return Math.sqrt(sum);
}

const relativeDifference = (actual: number, expected: number): number => Math.abs(actual - expected) / expected;
