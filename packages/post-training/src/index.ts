export { isPostBundle, readPostBundle } from "./parity/bundle.js";
export type { PostCheck } from "./parity/checks.js";
export { type PostPart, isPostPart, postParts, runPostParity } from "./parity/run.js";
