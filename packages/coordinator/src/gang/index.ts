export type { Binding, BoundProgram } from "./binding.js";
export {
  type CopyReport,
  type FeedRequest,
  Gang,
  type GangOptions,
  type RunReport,
  type RunRequest,
  type SnapshotReport,
} from "./gang.js";
export type { WorkerExit } from "./gang-errors.js";
export { runProgramOnce } from "./run-program.js";
export { type Succession, WorkerPool, type WorkerPoolOptions, defaultWorkers } from "./worker-pool.js";
export { WorkerProcess } from "./worker-process.js";
export { leftWorkers, registerPath } from "./worker-register.js";
export type { ArrayData, Epoch, ExecutorName, NumericsName, ProgramHash, RunReply, WorkerStats } from "@lapidary/protocol";
