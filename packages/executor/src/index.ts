export { type Device, openDevice } from "./device/device.js";
export type { SharedExchange } from "./device/shared-memory.js";
export type { StagingBuffer, StagingMemory, SharedStagingBuffer } from "./device/staging-memory.js";
export type { DeviceTensor } from "./device/tfjs.js";
export { chipwiseExecutor } from "./execution/chipwise.js";
export { type CallTimes, type Executable, type Executor, type Held, type Prepared, disposeHeld, heldBytes } from "./execution/executor.js";
export type { ExecutionHooks } from "./execution/hooks.js";
export type { StepItem as ScheduleItem } from "./sequence/find-sequences.js";
export { StackedProgram, stackedExecutor } from "./execution/stacked.js";
