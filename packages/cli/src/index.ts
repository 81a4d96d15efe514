export { runCommandLine, type ProcessIo } from "./run.js";
export { type Call, parseCommandLine } from "./command-line/parse.js";
export { globalOptions } from "./command-line/global-options.js";
export type { CommandSpec, ParsedArgs, OptionSpec } from "./command-line/spec.js";
export { commandTree } from "./tree.js";
