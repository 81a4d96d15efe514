export { type OptimizeOptions, optimize, rewrites } from "./optimize.js";
export { dropDead, mergeEqual } from "./rewrites.js";
