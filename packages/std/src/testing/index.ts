export { type Door, hostileBytes, hostileText } from "./hostile.js";
export { temporaryDirectory } from "./temporary.js";
