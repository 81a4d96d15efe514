export { readAdapterHead } from "./adapter.js";
export { type ArrayData, f32Array, fromTensor, i32Array, toTensor } from "./array-data.js";
export { writeDirectoryAtomic } from "./atomic-directory.js";
export { noConfig, notACheckpoint } from "./checkpoint-survey.js";
export { checkFinite } from "./finite.js";
export { partsOfArray, readFileTensor, readLayers, readParam, stackArrays } from "./stacks.js";
export { HfCheckpoint, readBackHfCheckpoint, readHfCheckpoint, writeHfCheckpoint } from "./hf-checkpoint.js";
export { modelConfigFromHf, modelConfigToHf, parseHfConfig, readControlIds, readHfConfig, readJson } from "./hf-config.js";
export { checkOptimizerState } from "./optimizer-state.js";
export { decodeSafetensors, readSafetensors, SafetensorsFile, safetensorsHead, writeSafetensors } from "./safetensors.js";
export { globalModule, outputSharding, perDeviceModule } from "./stablehlo/module.js";
export { shardingConstraints } from "./stablehlo/sharding-constraints.js";
export { parseStrictJson, StrictJsonError } from "./strict-json.js";
export { tensorboardEvent, tensorboardFileName, tensorboardHeader } from "./tensorboard.js";
export { readXlaCheckpoint } from "./xla/checkpoint.js";
export {
  type BackendOutput,
  backendScript,
  compareWith,
  type Comparison,
  parseBackendOutput,
  type ReferenceBackend,
} from "./xla/compare.js";
export {
  checkExportDirectory,
  jaxVersion,
  orbaxVersion,
  writeXlaExport,
  type WrittenExport,
  type XlaExport,
  type XlaState,
} from "./xla/export.js";
export { initSpecsOf } from "./xla/initial-state.js";
export { libtpuNotice, libtpuVersion, tpuScript } from "./xla/tpu.js";
