export type { Channel, ChannelOptions } from "./channel.js";
export { bufferPool } from "./buffer-pool.js";
export { connectPeers } from "./connect-peers.js";
export { crc32 } from "./crc32.js";
export { Heartbeat } from "./heartbeat.js";
export { connect, type Listener, listen } from "./listen.js";
export type { Peers } from "./peers.js";
export { delay, type Runtime, systemRuntime, systemTimer, type Timer } from "./runtime.js";
export type { FrameFault, Transport, Wire, WireSink } from "./wire.js";
