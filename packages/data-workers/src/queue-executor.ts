import type { ShardQueue } from "@lapidary/control";
import type { SetAside, Task, TaskExecutor, ExecutorContext } from "@lapidary/data-pipeline";
import type { StoredObject } from "@lapidary/data-store";
import { asJson, ensure, LapidaryError } from "@lapidary/std";
import { z } from "zod";
import { type TaskPointer, writeTaskLists } from "./task-list.js";

/** Jobs in the queue for each task that workers compute at a time. */
const jobsPerSlot = 4;

/** Jobs in the queue at most, so that the memory of Redis is bounded by this number, and not by the plan. */
const maxJobs = 4096;

const poll_ms = 100;

const result = z.object({ set_aside: z.array(z.object({ stage: z.string(), shard: z.string(), id: z.string() })) });

/**
 * Gives tasks to the workers of a queue.
 *
 *     plan ──window──► BullMQ ──► workers ──► store
 *       ▲                                      │
 *       └────── a task is done if its object is there
 *
 * Redis has pointers alone. If it loses its data, the jobs are added again. If the planner is killed, the next one finds what the workers stored.
 */
export async function queueExecutor(
  queue: ShardQueue,
  { location, store, plan, needs, signal, onSetAside, warn }: ExecutorContext,
): Promise<TaskExecutor> {
  const lists = await writeTaskLists(store, plan, needs);
  const window = new JobWindow(queue, signal, warn);
  return {
    slots: maxJobs,
    async run(task) {
      await window.enter();
      try {
        const pointer = { store: location, list: ensure(lists.get(task.key), "a list of tasks") };
        return await stored(task, queue, pointer, { find: () => store.find(task.key), signal, onSetAside });
      } finally {
        window.leave();
      }
    },
    close: () => window.close(),
  };
}

interface Waiting {
  readonly find: () => Promise<StoredObject | undefined>;
  readonly signal: AbortSignal;
  readonly onSetAside: (document: SetAside) => void;
}

/** Adds the job of a task, and waits until its object is in the store. */
async function stored(task: Task, queue: ShardQueue, pointer: TaskPointer, { find, signal, onSetAside }: Waiting): Promise<StoredObject> {
  // A job that finished for an earlier planner says nothing about this one.
  for (let isAdded = false; ; await pause(poll_ms)) {
    signal.throwIfAborted();
    const state = await reachable(() => queue.stateOf(task.key));
    if (state?.kind === "pending") continue;
    const object = await find();
    if (object !== undefined) {
      if (state?.kind === "done") for (const document of result.safeParse(state.result).data?.set_aside ?? []) onSetAside(document);
      return object;
    }
    if (state === undefined) continue;
    if (state.kind === "failed" && isAdded) throw state.error;
    await reachable(() => queue.add({ id: task.key, payload: asJson(pointer) }));
    isAdded = true;
  }
}

/** The answer of Redis; undefined if it is unreachable, since it may come back. */
async function reachable<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof LapidaryError && error.code === "LAP_REDIS_UNREACHABLE") return undefined;
    throw error;
  }
}

/** Admits tasks while the jobs in the queue are fewer than four for each slot of a worker. */
class JobWindow {
  readonly #queue: ShardQueue;
  readonly #signal: AbortSignal;
  readonly #warn: (text: string) => void;
  readonly #timer: NodeJS.Timeout;
  #size = jobsPerSlot;
  #entered = 0;
  /** One entry for each task that waits. */
  readonly #waiting: (() => void)[] = [];
  #isMeasured = false;
  #isMeasuring = false;

  constructor(queue: ShardQueue, signal: AbortSignal, warn: (text: string) => void) {
    [this.#queue, this.#signal, this.#warn] = [queue, signal, warn];
    // Workers come and go at any time.
    this.#timer = setInterval(() => void this.#measure(), 10 * poll_ms);
    void this.#measure();
  }

  /** @throws the reason of the signal */
  async enter(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.#admit();
    });
    this.#signal.throwIfAborted();
  }

  leave(): void {
    this.#entered--;
    this.#admit();
  }

  close(): void {
    clearInterval(this.#timer);
    // Tasks that wait see the signal.
    this.#size = Number.POSITIVE_INFINITY;
    this.#admit();
  }

  #admit(): void {
    const admitted = this.#waiting.splice(0, Math.max(0, Math.min(this.#waiting.length, this.#size - this.#entered)));
    this.#entered += admitted.length;
    for (const resolve of admitted) resolve();
  }

  async #measure(): Promise<void> {
    if (this.#isMeasuring) return;
    this.#isMeasuring = true;
    try {
      const capacity = await reachable(() => this.#queue.capacity());
      if (capacity === undefined) return;
      if (capacity === 0 && !this.#isMeasured) this.#warn("no worker is connected; start one with `lapidary data worker`");
      this.#isMeasured = true;
      this.#size = jobsPerSlot * Math.max(1, capacity);
      this.#admit();
    } finally {
      this.#isMeasuring = false;
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
