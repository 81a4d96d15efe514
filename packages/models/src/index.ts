export * from "./cross-entropy.js";
export * from "./decoder.js";
export * from "./decoder-config.js";
export * from "./f32-number.js";
export * from "./families.js";
export * from "./gemma.js";
export * from "./gemma-config.js";
export * from "./model.js";
