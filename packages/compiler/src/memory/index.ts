export { fusedValues } from "./fusion.js";
export {
  type BufferPlan,
  type MemoryClass,
  type MemoryPlan,
  type MemoryView,
  liveBytes,
  memoryClasses,
  planMemory,
  verifyMemory,
} from "./memory.js";
