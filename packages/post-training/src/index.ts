export { type PostBundle, isPostBundle, readPostBundle } from "./parity/bundle.js";
export type { PostCheck } from "./parity/checks.js";
export { type PostPart, runPostParity } from "./parity/run.js";
export { sftEvalStep, sftStep } from "./programs/sft-step.js";
export { adaptedModel, trainedStates } from "./programs/trained-model.js";
