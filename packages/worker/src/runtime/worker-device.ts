import { chipwiseExecutor, type Device, type ExecutionHooks, type Executor, stackedExecutor, type StagingMemory } from "@lapidary/executor";
import type { Peers } from "@lapidary/fabric";
import type { ConfigureMessage, GroupLayout, WorkerStats } from "@lapidary/protocol";
import type { Clock } from "@lapidary/std";
import { releaseMemory } from "./release-memory.js";

/** What the executor of a worker depends on, besides its device. */
export interface ExecutorOptions {
  readonly configuration: ConfigureMessage;
  readonly group: GroupLayout;
  /** Undefined: the worker is alone in its group. */
  readonly peers: Peers | undefined;
  readonly clock: Clock;
  /** Whether messages to other workers go through shared memory if the device has it. */
  readonly share: boolean;
  readonly hooks: ExecutionHooks | undefined;
}

/** What computes in a worker process, and what the process uses. The fault simulation has its own. */
export interface WorkerDevice extends Pick<WorkerStats, "backend" | "kernelCalls"> {
  /** Shared memory for replicas and checkpoints. Undefined if there is none. */
  readonly stagingMemory: StagingMemory | undefined;
  /** What the process uses now. */
  usage(): Pick<WorkerStats, "pid" | "tensors" | "rss_bytes">;
  /** Milliseconds of processor time that the process has used. */
  processorTime_ms(): number;
  /** Frees memory that only the first runs needed. */
  releaseMemory(): void;
  executor(options: ExecutorOptions): Executor;
}

/** A tfjs backend in this process. */
export function processDevice(device: Device): WorkerDevice {
  return {
    backend: device.backend,
    get kernelCalls() {
      return device.kernelCalls;
    },
    stagingMemory: device.stagingMemory,
    usage: () => ({ pid: process.pid, tensors: device.tf.memory().numTensors, rss_bytes: process.memoryUsage.rss() }),
    processorTime_ms: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    releaseMemory: () => void releaseMemory(),
    executor: ({ configuration, group: { mesh, grid }, peers, clock, share, hooks }) =>
      configuration.executor === "chipwise"
        ? chipwiseExecutor(device, mesh, configuration.numerics, clock)
        : stackedExecutor({
            device,
            mesh,
            numerics: configuration.numerics,
            clock,
            grid,
            worker: configuration.worker,
            peers,
            share,
            ...(hooks === undefined ? {} : { hooks }),
          }),
  };
}
