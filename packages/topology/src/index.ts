export * from "./blocks.js";
export * from "./mesh.js";
export * from "./torus.js";
