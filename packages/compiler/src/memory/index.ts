export {
  type AddedBuffer,
  type MemoryClass,
  type MemoryPlan,
  liveBytes,
  memoryClasses,
  planMemory,
  verifyMemory,
} from "./memory.js";
