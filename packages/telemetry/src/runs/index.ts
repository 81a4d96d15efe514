/** The files of runs and pipelines, without the views of programs, which load the compiler and the simulator. */
export { readJournal, readMetrics } from "./journal.js";
export { type PipelineRecord, PipelineStore } from "./pipeline-store.js";
export { type NewRun, RunStore } from "./run-store.js";
export { Run, runFiles } from "./run.js";
