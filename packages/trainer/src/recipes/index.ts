/** The recipes of runs without the processes that execute them: `@lapidary/trainer/recipes`. */
export { compileJob } from "./compile-job.js";
