/** Job files alone, without what trains: `@lapidary/training/job`. */
export { defaultRules } from "./default-rules.js";
export { type JobFile, jobFileSchema, jobJsonSchema, jobNamePattern } from "./job-schema.js";
export {
  type JobEnvironment,
  type JobText,
  type JobValue,
  loadJob,
  loadPlacedJob,
  type PlacedJob,
  resolveJob,
  resolvePlacedJob,
} from "./load-job.js";
export { axisMeaning, isKnownAxis, knownAxes, podAxis } from "./axis-names.js";
export { compileOptions, jobFileOf, jobFileText, meshOf, printJob, printJobFile, type ResolvedJob, zeroOptions } from "./resolved-job.js";
