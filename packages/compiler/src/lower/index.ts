export { blockDims, blockPositions, lower } from "./lower.js";
