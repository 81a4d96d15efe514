export { countedLoss, meanLoss, tokenLosses } from "./cross-entropy.js";
export { decoderConfigSchema } from "./decoder-config.js";
export { f32Number } from "./f32-number.js";
export { type ModelConfig, buildModel, isDecoder, paramsOf } from "./families.js";
export { type GemmaConfig, gemmaConfigSchema } from "./gemma-config.js";
export { gemma, gemmaLogicalAxes, gemmaParams } from "./gemma.js";
export { segmentBias } from "./layers/segments.js";
export { type LoraConfig, type LoraTarget, loraAdapters, loraName, loraParams, loraTargets, loraWeights } from "./lora.js";
export { type HiddenOptions, type Model, type ParamInit, type ParamSpec, type ParamValues, logitsOf, parameterCount } from "./model.js";
