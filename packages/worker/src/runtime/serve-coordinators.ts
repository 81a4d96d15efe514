import { type Channel, type ChannelOptions, connect, type Runtime } from "@lapidary/fabric";
import { type WorkerAnswer, type WorkerHello, controlLimits, encodeAnswer } from "@lapidary/protocol";
import { awaitNextCoordinator } from "./failover.js";
import { serve } from "./serve.js";
import type { Worker } from "./worker.js";

/** A worker with its kernels loaded, and what it reports of them. */
export interface OpenedWorker {
  readonly worker: Worker;
  readonly ready: Omit<Extract<WorkerAnswer, { readonly kind: "ready" }>, "holds">;
}

export type Log = (level: "info" | "warn" | "error", message: string, more?: Readonly<Record<string, unknown>>) => void;

export interface ServeCoordinatorsOptions {
  /** The socket at which coordinators listen, one after the other. */
  readonly socket: string;
  readonly hello: WorkerHello;
  /** How long the process waits for another coordinator when its coordinator is lost. 0: it exits. */
  readonly leaseMs: number;
  readonly runtime: Runtime;
  /** Loads the kernels, once the first coordinator is connected. */
  readonly open: () => Promise<OpenedWorker>;
  readonly log: Log;
  /** Another coordinator has taken over this process. Called before the log line that says so. */
  readonly takenOver: (coordinator: Channel) => void;
  /** Ends the process. */
  readonly exit: () => void;
}

/**
 * The life of a worker process: it connects to the coordinator that started it, loads its kernels, sends `ready` and serves.
 *
 * It exits on `shutdown`. If its coordinator exits, it leaves its worker group and keeps kernels and replicas. Until its lease ends, it tries to connect
 * to the next coordinator at the same socket. Without a lease it exits when its channel closes.
 */
export async function serveCoordinators(options: ServeCoordinatorsOptions): Promise<void> {
  const { socket, leaseMs, runtime, log } = options;
  const channelOptions: ChannelOptions = { hello: { ...options.hello }, limits: controlLimits, runtime };
  const first = await connect(socket, channelOptions);
  exitWhenClosed(first, options);
  const { worker, ready } = await options.open();
  for (let channel = first; ; ) {
    if (channel.isOpen) channel.send(encodeAnswer({ ...ready, holds: worker.heldReplicas ?? null }));
    const served = serve(channel, worker, {
      onError: (kind, error) =>
        log("error", `${kind} failed`, { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    });
    await Promise.race([channel.closed, served]);
    // Both in parallel: the next coordinator waits for this worker's hello, and the peers may wait for it to leave.
    const left = served.then(() => worker.leave());
    const next = await awaitNextCoordinator(socket, leaseMs, channelOptions, runtime);
    if (next === undefined) {
      log("warn", "no other coordinator listened within the lease", { lease_s: leaseMs / 1000 });
      return options.exit();
    }
    exitWhenClosed(next, options);
    await left;
    channel = next;
    options.takenOver(next);
    log("info", "taken over by another coordinator", { holds: worker.heldReplicas ?? null });
  }
}

/** Exits when the channel closes. If the coordinator was lost and the process has a lease, it does not exit. */
function exitWhenClosed(channel: Channel, { leaseMs, log, exit }: ServeCoordinatorsOptions): void {
  void channel.closed.then((reason) => {
    if (reason.kind !== "lost") return exit();
    log("warn", "the connection to the coordinator is lost", { error: reason.error.message });
    if (leaseMs === 0) exit();
  });
}
