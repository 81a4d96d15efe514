export { expectText } from "./expect-text.js";
export { type FuzzTarget, hostileBytes, hostileText } from "./fuzz.js";
export { temporaryDirectory } from "./temporary.js";
