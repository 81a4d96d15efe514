export type { Channel, ChannelOptions } from "./channel.js";
export { bufferPool } from "./buffer-pool.js";
export { connectPeers } from "./connect-peers.js";
export { crc32 } from "./crc32.js";
export { Heartbeat, systemTimer, type Timer } from "./heartbeat.js";
export { connect, type Listener, listen } from "./listen.js";
export type { Peers } from "./peers.js";
export type { FrameFault } from "./wire.js";
