export { listCheckpoints } from "./execution/checkpoints.js";
export { execute } from "./execution/execute.js";
export { cutPromptWarning, type GeneratedSample, promptIds, promptReading } from "./execution/generate-sample.js";
export { Goodput } from "./execution/goodput.js";
export type { Evaluation } from "./recipes/recipe.js";
export type { TrainEvents, TrainResult, TrainingAttempt } from "./execution/train-options.js";
export { trainWithRecovery } from "./execution/train-with-recovery.js";
export type { ExecutionOptions } from "./execution/execution-options.js";
export { isRecoverable } from "./execution/recovery-errors.js";
export { recordGroup, release, startWorkers } from "./execution/start-workers.js";
export { WorkerCountPolicy } from "./execution/worker-count-policy.js";
export { openGroupModel } from "./generation/group-model.js";
export { openGroupScores } from "./generation/group-scores.js";
export { programsFor } from "./programs/programs.js";
export { readStopRule } from "./recipes/completion-text.js";
export { chunksByLength } from "./generation/chunks.js";
export {
  lossOf,
  type LossSum,
  type MaskedDocument,
  openTokenModel,
  type TokenAnswer,
  type TokenModel,
  type TokenPrompt,
  type TokenShape,
} from "./generation/token-model.js";
export { buildPrograms, type ProgramSet } from "./programs/build.js";
export { programRequest, type ProgramRequest } from "./programs/program-request.js";
export { defaultBatchRows, openSampler, readTokenizer, type Sampler } from "./sampler.js";
export { Session, type SessionOptions, openPool, openSession } from "./session.js";
export { LoadedProgram, weightHandle } from "./rl/program-host.js";
export type { RlSettings } from "./rl/rl-settings.js";
export { rlStates } from "./rl/rl-programs.js";
export { RlStepController } from "./rl/rl-step-controller.js";
export { Rollout } from "./rl/rollout.js";
export { completionEnds, sequenceRows, trimmedCompletions } from "./rl/rollout-rows.js";
export { executeStep } from "./imported/execute-step.js";
export { HeldoutEvaluations } from "./execution/heldout-evaluations.js";
export { RunPrograms, type RunSteps } from "./execution/run-programs.js";
export { Staging } from "./execution/staging.js";
