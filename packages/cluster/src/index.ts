export type { BoundProgram } from "./binding.js";
export type { WorkerExit } from "./gang-errors.js";
export { type CopyReport, Gang, type GangOptions, type SnapshotReport } from "./gang.js";
export { type ProgramText, digestOf, programText } from "./program-text.js";
export { runProgramOnce } from "./run-program.js";
export { type Succession, WorkerPool, defaultWorkers } from "./worker-pool.js";
