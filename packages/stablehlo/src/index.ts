export * from "./convert/constraints-of.js";
export * from "./convert/import-step.js";
export * from "./convert/sharding.js";
export * from "./text/parse.js";
export * from "./text/print.js";
export type * from "./text/syntax.js";
