export { workerMain } from "./main-path.js";
