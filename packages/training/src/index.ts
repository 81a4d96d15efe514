export * from "./optimizer/optimizer-config.js";
export { type ParityBatch, type ParityBundle, paritySteps, readParityBundle } from "./parity/bundle.js";
export { type ParityDistances, type ParityTolerances, parityFailures, parityTolerances } from "./parity/compare.js";
export { type GraphRunner, parityGraphs, runParity } from "./parity/run.js";
export * from "./step/batch-inputs.js";
export * from "./step/eval-step.js";
export * from "./step/init-program.js";
export * from "./step/train-state.js";
export { type TrainStepOptions, trainMetrics, trainStep } from "./step/train-step.js";
