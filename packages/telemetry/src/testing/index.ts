export { newRun, steppingClock, trainRow } from "./fixtures.js";
