export { RecordedRuns, type RecordedRunWriter } from "./recorded-runs.js";
export { recordedComparison, recordedRl } from "./recorded-post-training.js";
