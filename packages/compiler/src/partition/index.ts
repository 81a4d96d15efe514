export { checkProgram } from "./check.js";
export { type PartitionOptions, partition } from "./partition.js";
export { bytesPerChip, reshard } from "./reshard.js";
