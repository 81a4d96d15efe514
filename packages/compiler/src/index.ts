export * from "./compile.js";
export * from "./differentiate/index.js";
export * from "./lower/index.js";
export * from "./optimize/index.js";
export * from "./partition/index.js";
export type * from "./program.js";
export * from "./propagate/index.js";
export * from "./rematerialize/index.js";
