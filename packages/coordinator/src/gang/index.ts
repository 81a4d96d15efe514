export {
  type CopyReport,
  type FeedRequest,
  Gang,
  type GangOptions,
  type ProgramPort,
  type RunReport,
  type RunRequest,
  type SnapshotReport,
} from "./gang.js";
export type { WorkerExit } from "./gang-errors.js";
export { runProgramOnce } from "./run-program.js";
export { WorkerPool, type WorkerPoolOptions, defaultWorkers } from "./worker-pool.js";
export { WorkerProcess } from "./worker-process.js";
export type { ArrayData, Epoch, ExecutorName, NumericsName, ProgramHash, RunReply, ValueId, WorkerStats } from "@lapidary/worker/protocol";
