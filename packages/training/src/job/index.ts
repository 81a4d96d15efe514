/** Job files without the training code: `@lapidary/training/job`. */
export { readConfigValue } from "./read-config-value.js";
export { axisMeaning, isKnownAxis, knownAxes } from "./axis-names.js";
export { isRecipePath } from "./job-schema.js";
export { type JobText, type JobValue, type LocatedJob, readJobText, resolveLocatedJob } from "./load-job.js";
export { type DataJob, dataJobIn, dataJobOf, isDataPipeline, outputOf } from "./data-job.js";
export {
  isDataEntry,
  isPipeline,
  type Pipeline,
  type PipelineDataJob,
  resolvePipeline,
} from "../pipeline/load-pipeline.js";
export { modelFileOf } from "./model-file.js";
export { isStepJob, parseShard, resolveStepJob, squarest, stepJobFileOf, stepName } from "./step-job.js";
export { jobFileOf, printJob, printJobFile, type ResolvedJob } from "./resolved-job.js";
