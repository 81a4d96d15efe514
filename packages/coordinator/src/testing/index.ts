export { RecordedRuns, RunInvention } from "./recorded-runs.js";
