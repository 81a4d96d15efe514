import { ShardQueue, ShardWorker, type Store } from "@lapidary/control";
import type { ExecutorContext, Task } from "@lapidary/data-pipeline";
import { objectKey, type OutputStore, type StoredObject } from "@lapidary/data-store";
import { queueExecutor } from "../queue-executor.js";

export interface ManyTasks {
  /** Of Redis, while the tasks run. */
  readonly peakBytes: number;
  /** Jobs that wait or are computed, at most. */
  readonly mostJobs: number;
  readonly computed: number;
}

const sample_ms = 100;

/** Runs the tasks of a made-up plan through a queue, as a planner does. A worker of this process only notes their keys, so that nothing else takes time. */
export async function runManyTasks(open: () => Promise<Store>, count: number, capacity: number): Promise<ManyTasks> {
  const stored = new Set<string>();
  const tasks = Array.from({ length: count }, (_, i) => taskOf(i, count));
  // A lock can expire on a busy machine. The task then runs again.
  const onError = (): void => undefined;
  const redis = await open();
  const queue = new ShardQueue(redis, { onError });
  let computed = 0;
  const worker = new ShardWorker(await open(), {
    capacity,
    onError,
    run: async (key) => {
      computed++;
      stored.add(key);
      return { set_aside: [] };
    },
  });
  let [peakBytes, mostJobs] = [0, 0];
  const sample = async (): Promise<void> => {
    const [info, waiting, active] = await redis.run((connection) =>
      Promise.all([
        connection.info("memory"),
        connection.llen(`${redis.namespace}:shards:wait`),
        connection.llen(`${redis.namespace}:shards:active`),
      ]),
    );
    peakBytes = Math.max(peakBytes, Number(/^used_memory:(\d+)/m.exec(info)?.[1]));
    mostJobs = Math.max(mostJobs, waiting + active);
  };
  const timer = setInterval(() => void sample(), sample_ms);
  try {
    const executor = await queueExecutor(queue, contextOf(tasks, stored));
    let next = 0;
    const work = async (slot: number): Promise<void> => {
      for (let task = tasks[next++]; task !== undefined; task = tasks[next++]) await executor.run(task, slot);
    };
    await Promise.all(Array.from({ length: executor.slots }, (_, slot) => work(slot)));
    executor.close();
    await sample();
    return { peakBytes, mostJobs, computed };
  } finally {
    clearInterval(timer);
    await worker.close();
    await queue.close();
  }
}

const taskOf = (i: number, shards: number): Task => ({
  key: objectKey({ code: "many tasks", config: i, inputs: [] }),
  stageIndex: 0,
  stage: "read",
  step: 0,
  settings: null,
  files: [],
  columns: {},
  partition: 0,
  partitions: 1,
  inputs: [],
  sources: [["web", shards]],
  after: [],
});

function contextOf(tasks: readonly Task[], stored: ReadonlySet<string>): ExecutorContext {
  const objectOf = (key: string): StoredObject => ({
    key,
    account: { in: 0, out: 0, dropped: {}, bytes: 0, errors: [] },
    parts: [],
  });
  const store: Pick<OutputStore, "find" | "write"> = {
    find: async (key) => (stored.has(key) ? objectOf(key) : undefined),
    write: async (key) => objectOf(key),
  };
  return {
    location: "/shared/data/v3",
    access: { scratch: "" },
    store: store as OutputStore,
    plan: { stages: [], tasks, lists: new Map(), shards: [] },
    needs: { add: async () => undefined } as unknown as ExecutorContext["needs"],
    signal: new AbortController().signal,
    onSetAside: () => undefined,
    warn: () => undefined,
  };
}
