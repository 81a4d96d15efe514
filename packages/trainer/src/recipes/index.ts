/** The recipes of runs without the processes that execute them: `@lapidary/trainer/recipes`. */
export { compileJob } from "./compile-job.js";
export { computeOf, machineOf } from "./job-machine.js";
export { locatedWithLossChunks, withLossChunks } from "./loss-chunks.js";
