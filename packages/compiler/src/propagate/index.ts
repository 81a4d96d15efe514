export { type ReductionPoints, findReductionPoints } from "./reduction-points.js";
export { bornUnreduced, passingAtoms } from "./partial-sums.js";
export { type OpSharding, type PropagateOptions, type Propagated, parameterShardings, propagate } from "./propagate.js";
export { type LogicalAxisRules, type ZeroOptions } from "./rules.js";
