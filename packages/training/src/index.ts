export { checkSameModel } from "./inputs/same-model.js";
export { corpusOf, type InputCheckOptions, rowsRequestOf } from "./inputs/check-inputs.js";
export { checkPipelineSources, hasSameHistory, mixtureRequestOf, type PipelineRows } from "./inputs/pipeline-data.js";
export { modelOfSet } from "./inputs/check-parameter-set.js";
export { axesOverPods, podAxis } from "./job/axis-names.js";
export { pipelineOf, sizeOfAxes } from "./job/axis-sizes.js";
export { type ContextPlan, contextPlanOf } from "./job/context-plan.js";
export { buildOptionsOf, contextProblem } from "./job/build-options.js";
export { compileJob } from "./job/compile-job.js";
export { defaultRules } from "./job/default-rules.js";
export {
  type ContextStrategyName,
  contextStrategyNames,
  isRecipePath,
  jobJsonSchema,
  loraTargetModules,
  type RecipePath,
} from "./job/job-schema.js";
export { recipeHash } from "./job/recipe-hash.js";
export { checkTokenizerSize, givenTokenizer, tokenizerRequest } from "./job/job-tokenizer.js";
export type { InitNames } from "./job/init-checkpoint.js";
export { type JobText, type JobValue, type LocatedJob, loadJob, loadLocatedJob, resolveJob, resolveLocatedJob } from "./job/load-job.js";
export { type JobOrder, orderJobs } from "./pipeline/job-order.js";
export type { ResolvedComparison } from "./job/comparison-job.js";
export { mapRunReferences, runReferences } from "./job/run-references.js";
export { checkDataOfNeeds, checkRunsOfNeeds } from "./pipeline/load-pipeline.js";
export { pipelineJsonSchema } from "./pipeline/pipeline-schema.js";
export { expertMetricNames, loadMetrics, loadSums, loadTypes } from "./step/expert-load.js";
export { type ExpertPlan, expertPlanOf } from "./job/expert-plan.js";
export { activeParameters, flopsOfJob } from "./job/model-flops.js";
export { lossChunksOf, mostLossChunks } from "./job/loss-chunks.js";
export {
  type ResolvedJob,
  compileOptions,
  jobFileOf,
  jobFileText,
  meshOf,
  needsInit,
  printJob,
  trainsOnExamples,
  trainsOnPipeline,
  zeroOptions,
} from "./job/resolved-job.js";
export { jobWarnings, shardingFindings } from "./job/sharding-findings.js";
export {
  isStepJob,
  isStepValue,
  parseShard,
  type ResolvedStepJob,
  resolveStepJob,
  stepJobFileText,
  type RowField,
} from "./job/step-job.js";
export type { UpdateConfig } from "./optimizer/optimizer-config.js";
export { type ParityBundle, readParityBundle } from "./parity/bundle.js";
export { BundleFile, bundleError } from "./parity/bundle-file.js";
export { shiftLabels } from "./parity/shift-labels.js";
export {
  type ParityDeviations,
  type ParityTolerances,
  largestGradientDeviation,
  maxAbsDifference,
  parityFailures,
  parityTolerances,
} from "./parity/compare.js";
export { type GraphRunner, runParity } from "./parity/run.js";
export { type Generated, generate } from "./sampling/generate.js";
export { type Sampling, greedy, sampledLogProbs } from "./sampling/sample-token.js";
export { applyUpdate } from "./step/apply-update.js";
export { accumulate, accumulateSums, type PartObjective } from "./step/microbatches.js";
export { inFlightByStage } from "./step/pipeline/tick-table.js";
export { evalStep, nextTokenLogits } from "./step/eval-step.js";
export { decodeProgram, prefillProgram } from "./step/generate-programs.js";
export {
  type DrawSettings,
  type RolloutShape,
  type RolloutWeights,
  cacheShapeOf,
  drawKeys,
  gatheredName,
  gatherRollout,
  rolloutDecode,
  rolloutPrefill,
} from "./step/rollout-programs.js";
export { initGraph } from "./step/init-program.js";
export { type LossChunks, evalLoss, stepLoss } from "./step/token-loss.js";
export {
  type StateSpec,
  gradientName,
  paramName,
  paramStates,
  stateParameter,
  statesOfLayers,
  stepName,
  trainState,
  weightParameters,
} from "./step/train-state.js";
export { trainMetrics, trainStep } from "./step/train-step.js";
