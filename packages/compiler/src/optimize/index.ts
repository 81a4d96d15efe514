export { type OptimizeOptions, optimize, rewrites } from "./optimize.js";
export { copyInto, dropDead, mergeEqual } from "./rewrites.js";
