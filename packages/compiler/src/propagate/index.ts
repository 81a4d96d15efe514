export { type ReductionPoints, findReductionPoints } from "./reduction-points.js";
export { bornUnreduced, passingAtoms } from "./partial-sums.js";
export type { Conflict, ConflictWinner, OpSharding, Origin, PropagateOptions, Propagated, Shortfall } from "./propagated.js";
export { parameterShardings, propagate, winnerText } from "./propagate.js";
export { type LogicalAxisRules, Priority, type ZeroOptions } from "./rules.js";
export { type UnusedMesh, dividingSize, findUnusedMesh, shortfallReason } from "./shortfalls.js";
