export { gradients, primalName } from "./gradients.js";
