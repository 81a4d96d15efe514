export {
  type AddedBuffer,
  type MemoryClass,
  type MemoryPlan,
  liveBytes,
  memoryClasses,
  planBuffers,
  planMemory,
  requestBuffers,
  temporaryBuffer,
  verifyMemory,
} from "./memory.js";
