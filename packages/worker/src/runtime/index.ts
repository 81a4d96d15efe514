export { sendHeartbeats } from "./send-heartbeats.js";
export { serveCoordinators } from "./serve-coordinators.js";
export { Worker, joinOver } from "./worker.js";
export type { ExecutorOptions, WorkerDevice } from "./worker-device.js";
