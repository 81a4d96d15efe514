export { type DiskError, type DiskLibrary, type OpenFiles, isDiskError, loadDisk } from "./disk.js";
export {
  type ExchangeFunctions,
  type ExchangeId,
  type ExchangePlan,
  type ExchangeReduction,
  type SpaceId,
  encodeExchange,
} from "./exchange.js";
export {
  type FusedFunctions,
  type FusedProgramId,
  type KernelOps,
  type KernelsLibrary,
  type MatMulSupport,
  loadKernels,
} from "./kernels.js";
export { type MemoryLibrary, loadMemory } from "./memory.js";
export { type NativeId } from "./native-id.js";
export { type OpcodeName, opcodeHeader, opcodeList, opcodeOf } from "./opcodes.js";
export { type Segments } from "./segments.js";
export {
  type ByteSegments,
  type ScatterId,
  type SharedFile,
  type StagedBlock,
  type StagingFunctions,
  type StagingId,
  encodeScatter,
} from "./staging.js";
