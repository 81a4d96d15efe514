export { listCheckpoints } from "./execution/checkpoints.js";
export { execute } from "./execution/execute.js";
export { cutPromptWarning } from "./execution/generate-sample.js";
export { Goodput } from "./execution/goodput.js";
export type { StepMetrics } from "./execution/run-programs.js";
export type { TrainEvents, TrainResult, TrainingAttempt } from "./execution/train-options.js";
export { trainWithRecovery } from "./execution/train-with-recovery.js";
export {
  type AnswerOptions,
  type LossSum,
  type MaskedDocument,
  openTokenModel,
  type TokenAnswer,
  type TokenModel,
  type TokenPrompt,
} from "./generation/token-model.js";
export { buildPrograms, programRequest } from "./programs/build.js";
export { openSampler, readTokenizer } from "./sampler.js";
export { Session, type SessionOptions, openPool, openSession } from "./session.js";
