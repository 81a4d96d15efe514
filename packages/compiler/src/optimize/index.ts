export { copyInto, dropDead, mergeEqual, optimize } from "./optimize.js";
