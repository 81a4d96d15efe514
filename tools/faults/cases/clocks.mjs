/** Clocks that jump. */
import { withConcurrentJob, reached, signalTo } from "./context.mjs";

/** @typedef {import("./context.mjs").FaultCase} FaultCase */
/** @typedef {import("../test-cluster.mjs").RunResult} RunResult */

/** @type {FaultCase[]} */
export const clockCases = [
  ...[3600, -3600].flatMap((seconds) =>
    [
      { target: "the coordinator", parts: "coordinator/dist/main.js", processes: 1, startsWorker: false },
      { target: "the workers", parts: "worker/dist/main.js", processes: 1, startsWorker: true },
      { target: "every process, Redis too", parts: "dist/main.js redis-server valkey-server", processes: 3, startsWorker: true },
    ].map(
      /** @returns {FaultCase} */ ({ target, parts, processes, startsWorker }) => ({
        name: `clock jumps by ${seconds > 0 ? "+" : ""}${seconds / 3600} h in ${target}`,
        row: "clock jumps",
        needsFaultPreload: true,
        run: (context) =>
          withConcurrentJob(
            context,
            async () => {
              await reached(context, 2 + context.random.integer(3));
              context.cluster.injectFault("clock", `${seconds} ${parts}`);
              // A worker reads this clock only when it starts. So one worker is replaced while the clock is off.
              if (startsWorker) signalTo((await context.cluster.workerPids(context.id))[context.random.integer(2)], "SIGKILL");
            },
            { env: context.cluster.faultPreload(), isNoticed: startsWorker },
          )
            .then((outcome) => ({
              ...outcome,
              minFirings: processes,
              expect: (/** @type {RunResult} */ result) =>
                parts.includes("server") && !context.cluster.firings().some(({ name }) => name.includes("server"))
                  ? "the clock of Redis did not jump"
                  : outcome.expect?.(result),
            }))
            .finally(() => context.cluster.injectFault("clock", undefined)),
      }),
    ),
  ),
];
