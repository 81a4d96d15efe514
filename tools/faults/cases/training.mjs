/** Losses that are NaN or spike, and runs that continue in another layout. */
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { committed, finish, launch, reached, steps } from "./context.mjs";

/** @typedef {import("./context.mjs").FaultCase} FaultCase */
/** @typedef {import("./context.mjs").FaultContext} FaultContext */
/** @typedef {import("../test-cluster.mjs").RunResult} RunResult */

/** @type {FaultCase[]} */
export const trainingCases = [
  {
    name: "loss is NaN, and the guard stops the job",
    row: "NaN or a loss spike",
    expected: "stops immediately, exit 100, and names the batch",
    async run(context) {
      const result = await trainWith(context, "1.0e+30", "{ not_finite: stop }");
      return { result, expect: stopsWith("LAP_LOSS_NOT_FINITE", 0), note: "stops" };
    },
  },
  {
    name: "loss is NaN again and again, and the guard skips at most two batches",
    row: "NaN or a loss spike",
    expected: "skips two batches, then stops, exit 100, and names the batch",
    async run(context) {
      const result = await trainWith(context, "1.0e+30", "{ not_finite: skip, max_skipped: 2 }");
      return { result, expect: stopsWith("LAP_LOSS_NOT_FINITE", 2), note: "stops" };
    },
  },
  {
    name: "loss spikes, and the guard skips the batches",
    row: "NaN or a loss spike",
    expected: "rolled back to the step before each, done, each batch named, the same digest as a second such run",
    async run(context) {
      const spiky = "{ spike: 1.001, max_skipped: 1000 }";
      const result = await trainWith(context, "3.0e-1", spiky, 42);
      const skipped = result.events.filter(isOfType("batch_skipped")).length;
      await context.cluster.end();
      const again = await trainWith({ ...context, id: `${context.id}-again` }, "3.0e-1", spiky, 42);
      const right = result.state === "done" && result.rows.length === 42 && skipped > 0 && again.digest === result.digest;
      return {
        result,
        expect: () =>
          right
            ? undefined
            : `${result.state} ${result.code}; steps ${result.rows.length}, skipped ${skipped}, same digest again: ${again.digest === result.digest}`,
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
      expected:
        "continues after the last committed step; done, each step once, the losses of the fault-free reference run except for the order of sums",
      async run(context) {
        const { cluster, id, random, reference } = context;
        await launch(context);
        await reached(context, 3 + random.integer(5));
        await cluster.end("SIGTERM");
        const at = committed(context);
        await cluster.start({ workers: 4 });
        const { from_step } = await cluster.client.resume(id, { overrides });
        const result = await finish(context);
        const differs = result.commits.find(({ step, loss }) => Math.abs(loss - (reference.commits[step - 1]?.loss ?? 0)) > 1e-3 * loss);
        const once = result.rows.length === reference.rows.length && result.rows.every((step, i) => step === i + 1);
        const right = result.state === "done" && from_step === at && once && differs === undefined;
        return {
          result,
          expect: () =>
            right
              ? undefined
              : `${result.state} ${result.code} ${result.message}; resumed after step ${from_step} of ${at}; steps ${result.rows}; differs at ${differs?.step}`,
          note: "stops",
        };
      },
    }),
  ),
];

/**
 * Runs a job with this learning rate and guard to its end.
 * @param {FaultContext} context @param {string} lr @param {string} guard @param {number} [count] of steps
 */
async function trainWith(context, lr, guard, count = steps) {
  const client = await context.cluster.start();
  const yaml = context.cluster
    .jobFile({ steps: count })
    .replace(/lr: \S+/, `lr: ${lr}`)
    .replace("  batch: 8\n", `  batch: 8\n  guard: ${guard}\n`);
  await client.submit({ yaml, name: context.id });
  return finish(context);
}

/** @param {string} code @param {number} skips @returns {(result: RunResult) => string | undefined} */
const stopsWith =
  (code, skips) =>
  ({ state, code: is, message, events, place }) => {
    const left = events.filter(isOfType("batch_skipped")).length;
    const named = /batch|rows/.test(`${message} ${place}`);
    return state === "failed" && is === code && left === skips && named
      ? undefined
      : `${state} ${is} ${message} (${place}), ${left} skipped`;
  };
