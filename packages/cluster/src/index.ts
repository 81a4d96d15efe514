export type { BoundProgram } from "./binding.js";
export type { ProcessEnd, SpawnOptions } from "./host-process.js";
export { systemHost, type WorkerHost } from "./worker-host.js";
export type { WorkerExit } from "./worker-group-errors.js";
export { type ReplicationReport, WorkerGroup, type WorkerGroupOptions, type StagingReport } from "./worker-group.js";
export { type ProgramText, digestOf, programText } from "./program-text.js";
export { runProgramOnce } from "./run-program.js";
export { type Failover, WorkerPool, defaultWorkers } from "./worker-pool.js";
