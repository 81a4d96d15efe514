export * from "./clock.js";
export * from "./errors.js";
export * from "./expect-text.js";
export * from "./format.js";
export * from "./json.js";
export * from "./random.js";
export * from "./socket-path.js";
export * from "./suggest.js";
