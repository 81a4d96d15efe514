export { type ReductionPoints, findReductionPoints } from "./reduction-points.js";
export { bornUnreduced, passingAtoms } from "./partial-sums.js";
export {
  type Conflict,
  type ConflictWinner,
  type OpSharding,
  type Origin,
  type PropagateOptions,
  type Propagated,
  parameterShardings,
  propagate,
  winnerText,
} from "./propagate.js";
export { type LogicalAxisRules, Priority, type ZeroOptions } from "./rules.js";
export { type Shortfall, type UnusedMesh, dividingSize, findUnusedMesh, shortfallReason } from "./shortfalls.js";
