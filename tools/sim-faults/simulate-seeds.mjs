/**
 * A process that simulates schedules. It receives first and last seed, and whether to stop at the first problem; it sends a report for each seed.
 * `--bug NAME` plants a mistake.
 */
import { register } from "node:module";
import { bugs } from "./bugs.mjs";

const bug = bugs.find(({ name }) => name === process.argv[2]);
if (bug !== undefined) register("./patch.mjs", import.meta.url, { data: bug });
// A simulation makes many errors, and reads no stack of them.
Error.stackTraceLimit = 0;
const { simulate } = await import("../../packages/fault-simulation/dist/simulate.js");

/** Rejections that no code handles, since the last seed. @type {unknown[]} */
const unhandled = [];
process.on("unhandledRejection", (error) => unhandled.push(error));

process.on("message", async (/** @type {number} */ seed) => {
  const report = await simulate(seed);
  const [first] = unhandled.splice(0);
  const problem =
    report.problem ?? (first === undefined ? undefined : `a rejection is not handled: ${first instanceof Error ? first.message : first}`);
  process.send?.({ ...report, problem, coverage: [...report.coverage.counts] });
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
