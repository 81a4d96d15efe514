export { blockPositions, lower } from "./lower.js";
