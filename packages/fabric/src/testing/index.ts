export { frameFuzzTarget } from "./fuzz.js";
export { memoryPair, memoryPeers } from "./memory.js";
