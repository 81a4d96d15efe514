export { countedLoss, meanLoss, tokenLosses } from "./cross-entropy.js";
export { buildModel, paramsOf } from "./decoder.js";
export type { BuildOptions } from "./decoder-layers.js";
export { capacityOf } from "./layers/capacity.js";
export { droplessSlots } from "./layers/dropless.js";
export type { HeadExchange } from "./layers/head-exchange.js";
export { fromBalanced, toBalanced } from "./layers/positions.js";
export { balanceLoss, route } from "./layers/routing.js";
export { logicalAxes } from "./decoder-params.js";
export { f32Number } from "./f32-number.js";
export { type FamilyName, familyNames } from "./families.js";
export { type CacheShape, cacheArrays, decode, prefill } from "./kv-cache.js";
export { ropeFrequency } from "./layers/rope.js";
export { segmentBias } from "./layers/segments.js";
export { type LoraConfig, loraAdapters, loraName, loraParams, loraTargets, loraWeights } from "./lora.js";
export {
  canonicalConfig,
  expertLayersOf,
  familyOf,
  isTied,
  type LayerType,
  layerTypeOf,
  layerKindOf,
  layerPeriodOf,
  layerTypesOf,
  type ModelConfig,
  modelConfigSchema,
  type Rope,
  type RopeScaling,
  ropeOf,
  ropeScalingSchema,
  traitsOf,
} from "./model-config.js";
export {
  atRepeat,
  atStage,
  betweenStages,
  enterStage,
  type ForwardResult,
  forwardTick,
  fromStage,
  idleOfPass,
  partAt,
  partsOf,
  runForward,
  runStages,
  ticksOf,
  withPart,
} from "./pipeline/forward.js";
export { ofStages, passedBy, placeOf } from "./pipeline/microbatch-place.js";
export { type Pipeline, type PipelineOrder, pipelineOrders, type PipelineShape } from "./pipeline/pipeline.js";
export {
  type Dispatch,
  type ExpertLoad,
  type HiddenOptions,
  type Model,
  type ParamInit,
  type ParamSpec,
  type ParamValues,
  type Routing,
  logitsOf,
  parameterCount,
  sliceDims,
  storedTensors,
} from "./model.js";
