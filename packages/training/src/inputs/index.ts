/** What a job reads, checked before it runs: `@lapidary/training/inputs`. */
export { checkInit, checkSameModel } from "./check-init.js";
export { checkInputs, corpusOf, type InputCheckOptions } from "./check-inputs.js";
