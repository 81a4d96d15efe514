/** Redis that is killed, suspended, wiped, slow or full, or delivers a job twice. */
import { sleep, waitFor } from "../test-cluster.mjs";
import { withConcurrentJob, finish, launch, reached, redis, signalTo } from "./context.mjs";

/** @typedef {import("./context.mjs").FaultCase} FaultCase */

/** @type {FaultCase[]} */
export const redisCases = [
  {
    name: "BullMQ delivers a running job again: its locks are gone, again and again",
    row: "BullMQ redelivers a job",
    run: (context) => {
      let gone = 0;
      return withConcurrentJob(context, async () => {
        await reached(context, 1);
        for (let i = 0; i < 20; i++) {
          const script = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*:lock')) do n = n + redis.call('DEL', key) end return n";
          gone += Number(/^:(\d+)/.exec(String(await redis(context.cluster, ["EVAL", script, "0"])))?.[1] ?? 0);
          await sleep(100);
        }
      }).then((outcome) => ({
        ...outcome,
        expect: (result) => (gone === 0 ? "there was no lock to remove" : outcome.expect?.(result)),
      }));
    },
  },
  {
    name: "Redis killed",
    row: "Redis killed, restarted, wiped",
    async run(context) {
      const { cluster } = context;
      await launch(context);
      await reached(context, 2 + context.random.integer(5));
      const pid = cluster.redisPid();
      signalTo(pid, "SIGKILL");
      const began = Date.now();
      const resumed_ms = await waitFor(
        "Redis",
        async () => cluster.redisPid() !== pid && (await cluster.client.status()).redis.connected && Date.now() - began,
      );
      return {
        result: await finish(context),
        resumed_ms,
        expect: ({ goodput }) => (goodput.failures === 0 ? undefined : "training noticed"),
      };
    },
  },
  {
    name: "Redis frozen for 2 s",
    row: "Redis killed, restarted, wiped",
    async run(context) {
      const { cluster } = context;
      await launch(context);
      await reached(context, 2 + context.random.integer(5));
      const pid = cluster.redisPid();
      signalTo(pid, "SIGSTOP");
      await sleep(2000);
      signalTo(pid, "SIGCONT");
      return { result: await finish(context), expect: ({ goodput }) => (goodput.failures === 0 ? undefined : "training noticed") };
    },
  },
  {
    name: "Redis wiped while a job runs and another waits",
    row: "Redis killed, restarted, wiped",
    async run(context) {
      const { cluster, id } = context;
      const client = await launch(context);
      const { id: waiting } = await client.submit({ yaml: cluster.jobFile({ steps: 2, every: 0 }), name: `${id}-next` });
      await reached(context, 2 + context.random.integer(5));
      await redis(cluster, ["FLUSHALL"]);
      const result = await finish(context);
      const next = await cluster.result(waiting);
      return {
        result,
        expect: () => (next.state === "done" && next.rows.length === 2 ? undefined : `the other job: ${next.state}, steps ${next.rows}`),
      };
    },
  },
  {
    name: "Redis: connections cut, again and again",
    row: "Redis killed, restarted, wiped",
    run: (context) =>
      withConcurrentJob(context, async () => {
        for (let i = 0; i < 5; i++) {
          await redis(context.cluster, ["CLIENT", "KILL", "TYPE", "normal"]);
          await sleep(50 + context.random.integer(200));
        }
      }),
  },
  {
    name: "Redis: slow, every command waits up to 3 s",
    row: "Redis killed, restarted, wiped",
    run: (context) =>
      withConcurrentJob(context, async () => {
        await redis(context.cluster, ["CLIENT", "PAUSE", "3000", "ALL"]);
      }),
  },
  {
    name: "Redis: full for a while",
    row: "Redis killed, restarted, wiped",
    run: (context) =>
      withConcurrentJob(context, async () => {
        await redis(context.cluster, ["CONFIG", "SET", "maxmemory", "1"]);
        await sleep(2000);
        await redis(context.cluster, ["CONFIG", "SET", "maxmemory", "0"]);
      }),
  },
  {
    name: "Redis of a wrong maxmemory-policy at the start",
    row: "Redis killed, restarted, wiped",
    async run(context) {
      const { cluster } = context;
      await cluster.start();
      await redis(cluster, ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
      await cluster.end("SIGKILL");
      const refused = await cluster.start().then(
        () => "it started",
        (error) => String(error),
      );
      signalTo(cluster.redisPid(), "SIGKILL");
      await sleep(200);
      await launch(context);
      return { result: await finish(context), expect: () => (refused.includes("LAP_REDIS_EVICTS") ? undefined : refused) };
    },
  },
];
