export { queueRunner } from "./queue-runner.js";
export { TaskWorker } from "./task-worker.js";
