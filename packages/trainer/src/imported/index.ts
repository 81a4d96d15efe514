export * from "./check-step-inputs.js";
export * from "./compile-imported.js";
export * from "./step-arrays.js";
export * from "./step-programs.js";
