export { isPostBundle, readPostBundle } from "./parity/bundle.js";
export type { PostCheck } from "./parity/checks.js";
export { type PostPart, isPostPart, postParts, runPostParity } from "./parity/run.js";
export { logProbs, rolloutLogProbs, score } from "./programs/evaluations.js";
export { dpoStep, rewardStep } from "./programs/preference-steps.js";
export { type RlConfig, rlStep, trainedByRl, valueSet, withValueModel } from "./programs/rl-step.js";
export { scoreHead, scoreParams, scoreWeight } from "./programs/score-model.js";
export { sftEvalStep, sftStep } from "./programs/sft-step.js";
export { adaptedModel, frozenWeights, inSet, trainedStates } from "./programs/trained-model.js";
