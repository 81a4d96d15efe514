import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { JobQueue, type JobQueueOptions } from "./job-queue.js";
import { eventually, TestRedis } from "./testing/redis.js";

/** Needs that the test ends. */
class Needs {
  readonly waiting = new Map<string, () => void>();

  awaitNeed(need: string, job: string): Promise<void> {
    return new Promise((resolve) => this.waiting.set(`${job} needs ${need}`, resolve));
  }

  async end(need: string, job = "late"): Promise<void> {
    const key = `${job} needs ${need}`;
    await eventually(key, () => this.waiting.has(key));
    this.waiting.get(key)?.();
  }
}

describe("jobs with needs", () => {
  const redis = TestRedis.use(process.env);
  const queues: JobQueue[] = [];
  afterEach(async () => {
    await Promise.all(queues.splice(0).map((queue) => queue.close()));
  });
  const open = async (options: JobQueueOptions = {}): Promise<JobQueue> => {
    const queue = new JobQueue(await redis.open(), options);
    queues.push(queue);
    return queue;
  };
  const running = async (options: JobQueueOptions = {}): Promise<{ queue: JobQueue; needs: Needs; started: string[] }> => {
    const [queue, needs, started] = [await open(options), new Needs(), [] as string[]];
    queue.onJob({
      place: () => true,
      run: async ({ id }) => {
        started.push(id);
        return null;
      },
      awaitNeed: (need, job) => needs.awaitNeed(need, job),
    });
    return { queue, needs, started };
  };
  const submit = (queue: JobQueue, id: string, ...needs: string[]) => queue.submit({ id, name: id, payload: null, needs });
  const reaches = (queue: JobQueue, id: string, state: string) =>
    eventually(`${id} is ${state}`, async () => (await queue.get(id)).state === state);

  it("the queue places a job when all its needs have ended", async () => {
    const { queue, needs, started } = await running();
    await submit(queue, "late", "a", "b");
    await submit(queue, "later", "b");
    await submit(queue, "early");
    await reaches(queue, "early", "done");
    deepStrictEqual(
      (await queue.list(["waiting"])).map(({ id }) => id),
      ["late", "later"],
    );
    await needs.end("a");
    strictEqual((await queue.get("late")).state, "waiting");
    await needs.end("b");
    await reaches(queue, "late", "done");
    deepStrictEqual(started, ["early", "late"]);
    await needs.end("b", "later");
    await reaches(queue, "later", "done");
  });

  it("a job with needs that is submitted twice runs once", async () => {
    const { queue, needs, started } = await running();
    deepStrictEqual(await submit(queue, "late", "a"), { id: "late", created: true });
    deepStrictEqual(await submit(queue, "late", "a"), { id: "late", created: false });
    await needs.end("a");
    await reaches(queue, "late", "done");
    deepStrictEqual(await submit(queue, "late", "a"), { id: "late", created: false });
    deepStrictEqual(started, ["late"]);
  });

  it("a job that is cancelled while it waits for its needs does not run", async () => {
    const { queue, needs, started } = await running();
    await submit(queue, "late", "a");
    strictEqual((await queue.cancel("late")).state, "cancelled");
    await needs.end("a");
    await eventually("the end is in Redis", async () => (await queue.get("late")).finishedAt !== undefined);
    deepStrictEqual([(await queue.get("late")).state, started], ["cancelled", []]);
  });

  it("a job waits for its needs after its coordinator closes, and after another one is killed", async () => {
    const first = await running();
    await submit(first.queue, "late", "endless");
    await eventually("it waits", () => first.needs.waiting.has("late needs endless"));
    await first.queue.close();
    queues.splice(queues.indexOf(first.queue), 1);
    const child = fork(new URL("./testing/coordinator.js", import.meta.url), [redis.server.socket, redis.namespace]);
    const observer = await open();
    await submit(observer, "runs");
    await once(child, "message");
    child.kill("SIGKILL");
    await once(child, "exit");
    strictEqual((await observer.get("late")).state, "waiting");
    const { queue, needs, started } = await running({ lockMs: 400 });
    await needs.end("endless");
    await reaches(queue, "late", "done");
    deepStrictEqual(
      started.filter((id) => id === "late"),
      ["late"],
    );
  });
});
