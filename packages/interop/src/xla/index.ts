export { readXlaCheckpoint, type XlaCheckpoint } from "./checkpoint.js";
export {
  type ComparedTraffic,
  type Comparison,
  compareWith,
  type Judge,
  judgeScript,
  judges,
  parseVerdict,
  type ShardingDifference,
  type Traffic,
  type Verdict,
} from "./compare.js";
export {
  checkExportDirectory,
  jaxVersion,
  orbaxVersion,
  type WrittenExport,
  writeXlaExport,
  type XlaExport,
  type XlaState,
} from "./export.js";
export { recipesOf, type XlaRecipe } from "./initial-state.js";
export { type LaunchTarget, jobSet, slurmScript } from "./launch-files.js";
export type { InitialState, ManifestArray, ManifestData, XlaManifest } from "./manifest.js";
export {
  type ComparedCollective,
  type ComparedCycles,
  compareCycles,
  compareTpuCollectives,
  libtpuNotice,
  libtpuVersion,
  parseTpuAnswer,
  type TimedKernel,
  type TpuAnswer,
  topologyName,
  tpuScript,
} from "./tpu.js";
