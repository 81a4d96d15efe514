/** Clocks that jump. */
import { besideAnother, reached } from "./scene.mjs";

/** @typedef {import("./scene.mjs").FaultCase} FaultCase */
/** @typedef {import("../yard.mjs").Ending} Ending */

/** @type {FaultCase[]} */
export const clockCases = [
  ...[3600, -3600].flatMap((seconds) =>
    [
      { who: "the coordinator", parts: "coordinator/dist/main.js", processes: 1 },
      { who: "the workers", parts: "worker/dist/main.js", processes: 1 },
      { who: "every process, Redis too", parts: "dist/main.js redis-server valkey-server", processes: 3 },
    ].map(
      /** @returns {FaultCase} */ ({ who, parts, processes }) => ({
        name: `clock jumps by ${seconds > 0 ? "+" : ""}${seconds / 3600} h in ${who}`,
        row: "clock jumps",
        needsWeather: true,
        run: (scene) =>
          besideAnother(
            scene,
            async () => {
              await reached(scene, 2 + scene.random.integer(3));
              scene.yard.setWeather("clock", `${seconds} ${parts}`);
            },
            scene.yard.weather(),
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
