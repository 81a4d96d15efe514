export { checkProgram } from "./check.js";
export { partition } from "./partition.js";
export { bytesPerChip, reshard } from "./reshard.js";
