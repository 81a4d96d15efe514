/** Losses that harm a run, and runs that go on in another layout. */
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { committed, finish, launch, reached, steps } from "./scene.mjs";

/** @typedef {import("./scene.mjs").FaultCase} FaultCase */
/** @typedef {import("./scene.mjs").Scene} Scene */
/** @typedef {import("../yard.mjs").Ending} Ending */

/** @type {FaultCase[]} */
export const trainingCases = [
  {
    name: "loss that is no number, and the guard says stop",
    row: "NaN or a loss spike",
    expected: "stops at once, exit 100, and names the batch",
    async run(scene) {
      const ending = await learning(scene, "1.0e+30", "{ not_finite: stop }");
      return { ending, expect: stopsWith("LAP_LOSS_NOT_FINITE", 0), note: "stops" };
    },
  },
  {
    name: "loss that is no number, again and again, and the guard says skip, two at most",
    row: "NaN or a loss spike",
    expected: "leaves two batches out, then stops, exit 100, and names the batch",
    async run(scene) {
      const ending = await learning(scene, "1.0e+30", "{ not_finite: skip, max_skipped: 2 }");
      return { ending, expect: stopsWith("LAP_LOSS_NOT_FINITE", 2), note: "stops" };
    },
  },
  {
    name: "loss spikes, and the guard leaves the batches out",
    row: "NaN or a loss spike",
    expected: "rolled back to the step before each, done, each batch named, the digest that a second such run has",
    async run(scene) {
      const spiky = "{ spike: 1.001, max_skipped: 1000 }";
      const ending = await learning(scene, "3.0e-1", spiky, 42);
      const skipped = ending.events.filter(isOfType("batch_skipped")).length;
      await scene.yard.end();
      const again = await learning({ ...scene, id: `${scene.id}-again` }, "3.0e-1", spiky, 42);
      const right = ending.state === "done" && ending.rows.length === 42 && skipped > 0 && again.digest === ending.digest;
      return {
        ending,
        expect: () =>
          right
            ? undefined
            : `${ending.state} ${ending.code}; steps ${ending.rows.length}, left out ${skipped}, again ${again.digest === ending.digest}`,
        note: "stops",
      };
    },
  },
  ...[
    { to: "another mesh", overrides: ["mesh.data=2", "mesh.model=8"] },
    { to: "another ZeRO stage", overrides: ["zero=1"] },
    { to: "another number of workers", overrides: ["workers=1"] },
    { to: "another mesh, ZeRO stage and number of workers", overrides: ["mesh.data=8", "mesh.model=2", "zero=2", "workers=4"] },
  ].map(
    /** @returns {FaultCase} */ ({ to, overrides }) => ({
      name: `stopped, then resumed on ${to}`,
      row: "restore onto another mesh, worker count or ZeRO stage",
      expected: "goes on from the very step; done, each step once, the losses of the quiet run but for the order of sums",
      async run(scene) {
        const { yard, id, random, quiet } = scene;
        await launch(scene);
        await reached(scene, 3 + random.integer(5));
        await yard.end("SIGTERM");
        const at = committed(scene);
        await yard.start({ workers: 4 });
        const { from_step } = await yard.client.resume(id, { overrides });
        const ending = await finish(scene);
        const differs = ending.commits.find(({ step, loss }) => Math.abs(loss - (quiet.commits[step - 1]?.loss ?? 0)) > 1e-3 * loss);
        const once = ending.rows.length === quiet.rows.length && ending.rows.every((step, i) => step === i + 1);
        const right = ending.state === "done" && from_step === at && once && differs === undefined;
        return {
          ending,
          expect: () =>
            right
              ? undefined
              : `${ending.state} ${ending.code} ${ending.message}; behind ${from_step} of ${at}; steps ${ending.rows}; differs at ${differs?.step}`,
          note: "stops",
        };
      },
    }),
  ),
];

/**
 * A job that learns so fast, under such a guard, to its end.
 * @param {Scene} scene @param {string} lr @param {string} guard @param {number} [count] of steps
 */
async function learning(scene, lr, guard, count = steps) {
  const client = await scene.yard.start();
  const yaml = scene.yard
    .jobFile({ steps: count })
    .replace(/lr: \S+/, `lr: ${lr}`)
    .replace("  batch: 8\n", `  batch: 8\n  guard: ${guard}\n`);
  await client.submit({ yaml, name: scene.id });
  return finish(scene);
}

/** @param {string} code @param {number} skips @returns {(ending: Ending) => string | undefined} */
const stopsWith =
  (code, skips) =>
  ({ state, code: is, message, events, place }) => {
    const left = events.filter(isOfType("batch_skipped")).length;
    const named = /batch|rows/.test(`${message} ${place}`);
    return state === "failed" && is === code && left === skips && named
      ? undefined
      : `${state} ${is} ${message} (${place}), ${left} left out`;
  };
