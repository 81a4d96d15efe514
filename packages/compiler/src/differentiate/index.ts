export { type Cotangent, gradients, gradientsFrom, primalName, vjp } from "./gradients.js";
