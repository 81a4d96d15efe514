export { type DiskLibrary, isDiskError, loadDisk } from "./disk.js";
export {
  type ExchangeFunctions,
  type ExchangeId,
  type ExchangePlan,
  type SpaceId,
  encodeExchange,
} from "./exchange.js";
export {
  type DotFunctions,
  type DotId,
  type FusedFunctions,
  type FusedProgramId,
  type KernelOps,
  type SequenceFunctions,
  loadKernels,
} from "./kernels.js";
export { loadMemory } from "./memory.js";
export { type OpcodeName, opcodeOf } from "./opcodes.js";
export { type Segments } from "./segments.js";
export {
  type ScatterId,
  type StagedBlock,
  type StagingFunctions,
  type StagingId,
  encodeScatter,
} from "./staging.js";
