import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { chooseRedis, openRedis, openStore, ShardQueue, type Store } from "@lapidary/control";
import type { Task } from "@lapidary/data-pipeline";
import { s3AccessOf } from "@lapidary/data-store";
import { queueExecutor, TaskWorker } from "@lapidary/data-workers";
import { isProcessAlive } from "@lapidary/std/process-id";

/** The Redis of planners and workers. */
export interface QueueAddress {
  /** A URL, or `auto` for REDIS_URL or the private server of the state directory. */
  readonly redis: string;
  readonly root: string;
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
  readonly warn: (text: string) => void;
}

/** Makes what gives the tasks of a plan to the workers of a queue. */
type OpenExecutor = (planned: Parameters<typeof queueExecutor>[1]) => ReturnType<typeof queueExecutor>;

/**
 * Computes tasks of planners until `signal` aborts.
 *
 * @param onTask called with the description and the key of a task when it starts and when it is stored
 * @throws LapidaryError LAP_REDIS_…
 */
export function serveQueue(
  address: QueueAddress,
  cores: number,
  signal: AbortSignal,
  onTask: (what: string, state: "started" | "stored", key: string) => void,
): Promise<void> {
  const scratch = makeWorkerScratch(address.home);
  const serving = withRedis(address, async (store) => {
    const worker = new TaskWorker(store, {
      cores,
      access: { s3: s3AccessOf(address.env), scratch },
      onTask: (task, state) => onTask(textOf(task), state, task.key),
      onError: ({ message }) => address.warn(message),
    });
    if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await worker.close();
  });
  return serving.finally(() => rmSync(scratch, { recursive: true, force: true }));
}

/** A directory for outputs in progress of this process. Those of processes that were killed are removed. */
function makeWorkerScratch(home: string): string {
  const all = join(home, "data-workers");
  mkdirSync(all, { recursive: true });
  for (const name of readdirSync(all)) if (!isProcessAlive(Number(name))) rmSync(join(all, name), { recursive: true, force: true });
  return join(all, String(process.pid));
}

/** Runs a pipeline whose tasks go to the workers of a queue. */
export function withTaskQueue<T>(address: QueueAddress, run: (executor: OpenExecutor) => Promise<T>): Promise<T> {
  return withRedis(address, async (store) => {
    const queue = new ShardQueue(store, { onError: ({ message }) => address.warn(message) });
    try {
      return await run((planned) => queueExecutor(queue, planned));
    } finally {
      await queue.close();
    }
  });
}

const textOf = ({ stage, shard, partition }: Task): string => `${stage} ${shard?.shard.name ?? `partition ${partition}`}`;

async function withRedis<T>({ redis, root, home, env, warn }: QueueAddress, use: (store: Store) => Promise<T>): Promise<T> {
  const choice = await chooseRedis(redis, root, env);
  if ("url" in choice) {
    // Hosts have different state directories, and share one queue.
    const store = await openStore(choice, { namespace: "lapidary-data" });
    return use(store).finally(() => store.close());
  }
  const opened = await openRedis(choice, home, {
    restarted: () => warn("Redis ended and was started again"),
    onError: ({ message }) => warn(message),
  });
  return use(opened.store).finally(() => opened.close());
}
