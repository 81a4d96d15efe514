export { memoryPair, memoryPeers } from "./memory.js";
