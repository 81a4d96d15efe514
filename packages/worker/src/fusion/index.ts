export { type FusedCall, encodeGroup } from "./encode.js";
export { type FusionGroup, type MemberKind, findGroups } from "./groups.js";
