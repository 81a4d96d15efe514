export { type OptimizeOptions, optimize } from "./optimize.js";
