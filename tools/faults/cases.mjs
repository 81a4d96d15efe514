/**
 * The table of faults: the fault that is injected into real processes, disks or Redis, and the required result of the job. The seed of a case chooses the
 * target and the time. The expected numbers are those of the fault-free reference run of the same job.
 */
import { clockCases } from "./cases/clocks.mjs";
import { coordinatorCases } from "./cases/coordinators.mjs";
import { diskCases } from "./cases/disks.mjs";
import { accessControlCases } from "./cases/access-control.mjs";
import { redisCases } from "./cases/redis.mjs";
import { trainingCases } from "./cases/training.mjs";
import { workerCases } from "./cases/workers.mjs";

/** @type {readonly import("./cases/context.mjs").FaultCase[]} */
export const faultCases = [
  ...workerCases,
  ...coordinatorCases,
  ...diskCases,
  ...clockCases,
  ...trainingCases,
  ...redisCases,
  ...accessControlCases,
];
