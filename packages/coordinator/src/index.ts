export * from "./gang/index.js";
