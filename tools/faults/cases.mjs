/**
 * The table of faults: what is done to real processes, disks and Redis, and what must have become of the job. Each case gets a seed, which chooses
 * whom and when; the oracle is the run of the same job to which nothing was done.
 */
import { clockCases } from "./cases/clocks.mjs";
import { coordinatorCases } from "./cases/coordinators.mjs";
import { diskCases } from "./cases/disks.mjs";
import { doorCases } from "./cases/doors.mjs";
import { redisCases } from "./cases/redis.mjs";
import { trainingCases } from "./cases/training.mjs";
import { workerCases } from "./cases/workers.mjs";

/** @type {readonly import("./cases/scene.mjs").FaultCase[]} */
export const faultCases = [...workerCases, ...coordinatorCases, ...diskCases, ...clockCases, ...trainingCases, ...redisCases, ...doorCases];
