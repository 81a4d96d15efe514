/** Redis that dies, freezes, forgets, is slow, full or delivers again. */
import { pause, until } from "../yard.mjs";
import { besideAnother, finish, launch, reached, redis, signalTo } from "./scene.mjs";

/** @typedef {import("./scene.mjs").FaultCase} FaultCase */

/** @type {FaultCase[]} */
export const redisCases = [
  {
    name: "BullMQ delivers a running job again: its locks are gone, again and again",
    row: "BullMQ redelivers a job",
    run: (scene) => {
      let gone = 0;
      return besideAnother(scene, async () => {
        await reached(scene, 1);
        for (let i = 0; i < 20; i++) {
          const script = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*:lock')) do n = n + redis.call('DEL', key) end return n";
          gone += Number(/^:(\d+)/.exec(String(await redis(scene.yard, ["EVAL", script, "0"])))?.[1] ?? 0);
          await pause(100);
        }
      }).then((happened) => ({
        ...happened,
        expect: (ending) => (gone === 0 ? "there was no lock to take away" : happened.expect?.(ending)),
      }));
    },
  },
  {
    name: "Redis killed",
    row: "Redis killed, restarted, wiped",
    async run(scene) {
      const { yard } = scene;
      await launch(scene);
      await reached(scene, 2 + scene.random.integer(5));
      const pid = yard.redisPid();
      signalTo(pid, "SIGKILL");
      const began = Date.now();
      const resumed_ms = await until(
        "Redis",
        async () => yard.redisPid() !== pid && (await yard.client.status()).redis.connected && Date.now() - began,
      );
      return {
        ending: await finish(scene),
        resumed_ms,
        expect: ({ goodput }) => (goodput.failures === 0 ? undefined : "training noticed"),
      };
    },
  },
  {
    name: "Redis frozen for 2 s",
    row: "Redis killed, restarted, wiped",
    async run(scene) {
      const { yard } = scene;
      await launch(scene);
      await reached(scene, 2 + scene.random.integer(5));
      const pid = yard.redisPid();
      signalTo(pid, "SIGSTOP");
      await pause(2000);
      signalTo(pid, "SIGCONT");
      return { ending: await finish(scene), expect: ({ goodput }) => (goodput.failures === 0 ? undefined : "training noticed") };
    },
  },
  {
    name: "Redis wiped while a job runs and another waits",
    row: "Redis killed, restarted, wiped",
    async run(scene) {
      const { yard, id } = scene;
      const client = await launch(scene);
      const { id: waiting } = await client.submit({ yaml: yard.jobFile({ steps: 2, every: 0 }), name: `${id}-next` });
      await reached(scene, 2 + scene.random.integer(5));
      await redis(yard, ["FLUSHALL"]);
      const ending = await finish(scene);
      const next = await yard.ending(waiting);
      return {
        ending,
        expect: () => (next.state === "done" && next.rows.length === 2 ? undefined : `the other job: ${next.state}, steps ${next.rows}`),
      };
    },
  },
  {
    name: "Redis: connections cut, again and again",
    row: "Redis killed, restarted, wiped",
    run: (scene) =>
      besideAnother(scene, async () => {
        for (let i = 0; i < 5; i++) {
          await redis(scene.yard, ["CLIENT", "KILL", "TYPE", "normal"]);
          await pause(50 + scene.random.integer(200));
        }
      }),
  },
  {
    name: "Redis: slow, every command waits up to 3 s",
    row: "Redis killed, restarted, wiped",
    run: (scene) =>
      besideAnother(scene, async () => {
        await redis(scene.yard, ["CLIENT", "PAUSE", "3000", "ALL"]);
      }),
  },
  {
    name: "Redis: full for a while",
    row: "Redis killed, restarted, wiped",
    run: (scene) =>
      besideAnother(scene, async () => {
        await redis(scene.yard, ["CONFIG", "SET", "maxmemory", "1"]);
        await pause(2000);
        await redis(scene.yard, ["CONFIG", "SET", "maxmemory", "0"]);
      }),
  },
  {
    name: "Redis of a wrong maxmemory-policy at the start",
    row: "Redis killed, restarted, wiped",
    async run(scene) {
      const { yard } = scene;
      await yard.start();
      await redis(yard, ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
      await yard.end("SIGKILL");
      const refused = await yard.start().then(
        () => "it started",
        (error) => String(error),
      );
      signalTo(yard.redisPid(), "SIGKILL");
      await pause(200);
      await launch(scene);
      return { ending: await finish(scene), expect: () => (refused.includes("LAP_REDIS_EVICTS") ? undefined : refused) };
    },
  },
];
