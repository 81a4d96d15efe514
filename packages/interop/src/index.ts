export * from "./array-data.js";
export { writeDirectoryAtomic } from "./atomic-directory.js";
export { writeFileAtomic } from "./atomic-file.js";
export { noConfig, notACheckpoint } from "./checkpoint-survey.js";
export { type FileKind, fileKind } from "./file-kind.js";
export { checkFinite } from "./finite.js";
export * from "./hf-checkpoint.js";
export { checkOptimizerState } from "./optimizer-state.js";
export {
  type ControlIds,
  gemmaConfigFromHf,
  gemmaConfigToHf,
  modelConfigFromHf,
  modelConfigToHf,
  readControlIds,
  readHfConfig,
  readJson,
} from "./hf-config.js";
export * from "./safetensors.js";
export type { SafetensorsDtype, SafetensorsHeader, TensorEntry } from "./safetensors-header.js";
export { parseStrictJson, type StrictJson, StrictJsonError } from "./strict-json.js";
export * from "./stablehlo/index.js";
export * from "./xla/index.js";
export * from "./tensorboard.js";
