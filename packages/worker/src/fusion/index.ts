export type { FusedCall } from "./encode.js";
export { type PlanItem, fusedItems, unfusedItems } from "./fuse-plan.js";
export { type FusionGroup, type MemberKind, findGroups } from "./groups.js";
