export { checkProgram } from "./check.js";
export { type PartitionOptions, partition } from "./partition.js";
export { bytesPerChip } from "./reshard.js";
