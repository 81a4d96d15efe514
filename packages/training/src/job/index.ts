/** Job files without the training code: `@lapidary/training/job`. */
export { axisMeaning, isKnownAxis, knownAxes } from "./axis-names.js";
export { type JobText, type JobValue, type LocatedJob, loadLocatedJob } from "./load-job.js";
export { jobFileOf, printJob, printJobFile, type ResolvedJob } from "./resolved-job.js";
