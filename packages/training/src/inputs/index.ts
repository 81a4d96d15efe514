/** Checks of the inputs of a job before it runs: `@lapidary/training/inputs`. */
export { checkInputs } from "./check-inputs.js";
