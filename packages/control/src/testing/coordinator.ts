import { JobQueue } from "../job-queue.js";
import { openStore } from "../store.js";

// A coordinator for the tests to kill: `coordinator.js SOCKET NAMESPACE`. It sends its parent the id of each job it runs; its jobs never end.
// The need "endless" of a job never ends.
const [, , socket, namespace] = process.argv;
if (socket === undefined || namespace === undefined) throw new Error("usage: coordinator SOCKET NAMESPACE");
const queue = new JobQueue(await openStore({ socket }, { namespace }), { lockMs: 400 });
queue.onJob({
  place: (job) => (job.payload === "waits" ? undefined : "here"),
  awaitNeed: () => new Promise(() => undefined),
  run: (job) =>
    new Promise(() => {
      process.send?.(job.id);
    }),
});
