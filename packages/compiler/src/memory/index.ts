export { fusedValues } from "./fusion.js";
export { type BufferPlan, type MemoryClass, type MemoryPlan, liveBytes, memoryClasses, planMemory, verifyMemory } from "./memory.js";
