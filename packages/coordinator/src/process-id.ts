export {
  isOfThisSpace,
  isProcessAlive,
  isRunning,
  type ProcessId,
  processId,
  processSpace,
  signalProcess,
  thisProcess,
} from "@lapidary/std/process-id";
