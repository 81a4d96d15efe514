export { runCommandLine, type Surroundings } from "./run.js";
