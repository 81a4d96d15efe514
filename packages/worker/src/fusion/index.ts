export type { FusedCall } from "./encode.js";
export { type PlanItem, fusedItems, unfusedItems } from "./fuse-plan.js";
export type { FusionGroup, MemberKind } from "./fusion-group.js";
export { findGroups } from "./groups.js";
