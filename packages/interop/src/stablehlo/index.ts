export { chipModule, type Constraint, type ModuleOptions, outputSharding, wholeModule } from "./module.js";
export { ruleConstraints } from "./rule-constraints.js";
export type { Numerics } from "./writer.js";
