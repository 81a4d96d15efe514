export { countedLoss, meanLoss, tokenLosses } from "./cross-entropy.js";
export { buildModel, paramsOf } from "./decoder.js";
export { balanceLoss } from "./layers/experts.js";
export { logicalAxes } from "./decoder-params.js";
export { f32Number } from "./f32-number.js";
export { type FamilyName, familyNames } from "./families.js";
export { type CacheShape, cacheArrays, decode, prefill } from "./kv-cache.js";
export { ropeFrequency } from "./layers/rope.js";
export { segmentBias } from "./layers/segments.js";
export { type LoraConfig, loraAdapters, loraName, loraParams, loraTargets, loraWeights } from "./lora.js";
export {
  canonicalConfig,
  familyOf,
  isTied,
  type LayerType,
  layerTypeOf,
  layerTypesOf,
  type ModelConfig,
  modelConfigSchema,
  type Rope,
  type RopeScaling,
  ropeOf,
  ropeScalingSchema,
  traitsOf,
} from "./model-config.js";
export { type HiddenOptions, type Model, type ParamInit, type ParamSpec, type ParamValues, type Routing, logitsOf, parameterCount } from "./model.js";
