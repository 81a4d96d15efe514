export { type Call, parseCommandLine } from "./command-line/parse.js";
export type { CommandSpec } from "./command-line/spec.js";
export { commandTree } from "./tree.js";
