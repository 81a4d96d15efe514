import { availableParallelism } from "node:os";
import { chooseRedis, openRedis, openStore, ShardQueue, type Store } from "@lapidary/control";
import { queueExecutor, TaskWorker } from "@lapidary/data-workers";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface DataWorkerOptions {
  /** A URL or `auto`. */
  readonly redis: string | undefined;
  readonly cores: number | undefined;
}

/** `lapidary data worker` computes tasks of planners until it is interrupted. */
export async function runDataWorker(
  context: Context,
  { redis = "auto", cores = availableParallelism() }: DataWorkerOptions,
): Promise<ExitCode> {
  const { console, interrupts } = context;
  if (cores === 0) throw argumentError("invalid number of cores: 0", "--cores", "write at least 1");
  const reporter = consoleReporter(console);
  let stored = 0;
  await withRedis(context, redis, reporter.warn, async (store) => {
    const worker = new TaskWorker(store, {
      cores,
      onTask: ({ stage, shard, partition }, state) => {
        if (state === "stored") stored++;
        const what = `${stage} ${shard?.shard.name ?? `partition ${partition}`}`;
        reporter.progress("data worker", () => `${stored} tasks stored; ${state} ${what}`);
      },
      onError: ({ message }) => reporter.warn(message),
    });
    reporter.progress("data worker", () => `${cores} processes wait for tasks`);
    await new Promise<void>((resolve) => interrupts.signal.addEventListener("abort", () => resolve(), { once: true }));
    await worker.close();
  }).finally(reporter.end);
  console.result({ cores, stored }, () => `${stored} tasks stored`);
  return ExitCode.done;
}

/** Runs a pipeline whose tasks go to the workers of a Redis. */
export function withTaskQueue<T>(
  context: Context,
  redis: string,
  warn: (text: string) => void,
  run: (executor: (planned: Parameters<typeof queueExecutor>[1]) => ReturnType<typeof queueExecutor>) => Promise<T>,
): Promise<T> {
  return withRedis(context, redis, warn, async (store) => {
    const queue = new ShardQueue(store, { onError: ({ message }) => warn(message) });
    try {
      return await run((planned) => queueExecutor(queue, planned));
    } finally {
      await queue.close();
    }
  });
}

async function withRedis<T>(
  { root, home, env }: Context,
  redis: string,
  warn: (text: string) => void,
  use: (store: Store) => Promise<T>,
): Promise<T> {
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
