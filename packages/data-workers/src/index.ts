export { queueExecutor } from "./queue-executor.js";
export { TaskWorker } from "./task-worker.js";
