export * from "./differentiate/index.js";
export type * from "./program.js";
