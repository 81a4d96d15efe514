export type { FusedCall } from "./encode.js";
export { type PlanItem, fusedItems, unfusedItems } from "./fuse-plan.js";
