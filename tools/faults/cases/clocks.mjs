/** Clocks that jump. */
import { besideAnother, reached, signalTo } from "./scene.mjs";

/** @typedef {import("./scene.mjs").FaultCase} FaultCase */
/** @typedef {import("../yard.mjs").Ending} Ending */

/** @type {FaultCase[]} */
export const clockCases = [
  ...[3600, -3600].flatMap((seconds) =>
    [
      { who: "the coordinator", parts: "coordinator/dist/main.js", processes: 1, startsWorker: false },
      { who: "the workers", parts: "worker/dist/main.js", processes: 1, startsWorker: true },
      { who: "every process, Redis too", parts: "dist/main.js redis-server valkey-server", processes: 3, startsWorker: true },
    ].map(
      /** @returns {FaultCase} */ ({ who, parts, processes, startsWorker }) => ({
        name: `clock jumps by ${seconds > 0 ? "+" : ""}${seconds / 3600} h in ${who}`,
        row: "clock jumps",
        needsWeather: true,
        run: (scene) =>
          besideAnother(
            scene,
            async () => {
              await reached(scene, 2 + scene.random.integer(3));
              scene.yard.setWeather("clock", `${seconds} ${parts}`);
              // A worker that trains does not look at this clock at all. One that starts does, and takes the place of one that started an hour ago.
              if (startsWorker) signalTo((await scene.yard.workerPids(scene.id))[scene.random.integer(2)], "SIGKILL");
            },
            { env: scene.yard.weather(), isNoticed: startsWorker },
          )
            .then((happened) => ({
              ...happened,
              mustFire: processes,
              expect: (/** @type {Ending} */ ending) =>
                parts.includes("server") && !scene.yard.firings().some(({ name }) => name.includes("server"))
                  ? "the clock of Redis did not jump"
                  : happened.expect?.(ending),
            }))
            .finally(() => scene.yard.setWeather("clock", undefined)),
      }),
    ),
  ),
];
