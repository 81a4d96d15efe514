export { type ReductionPoints, findReductionPoints } from "./reduction-points.js";
export { newPartialSums, propagatedPartialSums } from "./partial-sums.js";
export type { Conflict, GradientSums, Origin, PropagateOptions, Propagated, Shortfall } from "./propagated.js";
export { propagate, winnerText } from "./propagate.js";
export { type LogicalAxisRules, Priority, type ZeroOptions } from "./rules.js";
export { logicalNames } from "./seeds.js";
export { dividingSize, findUnusedMesh, shortfallReason } from "./shortfalls.js";
