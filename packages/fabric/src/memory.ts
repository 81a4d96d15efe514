import { type Channel, type ChannelOptions, WireChannel } from "./channel.js";
import { memoryWires, type Tamper } from "./wire.js";

/** Two ends of a channel within one process: frames, checks and ordering are the real ones, only the socket is missing. */
export function memoryPair(first: ChannelOptions = {}, second: ChannelOptions = first, tamper?: Tamper): Promise<[Channel, Channel]> {
  const [a, b] = [new WireChannel("memory", first), new WireChannel("memory", second)];
  const [wireA, wireB] = memoryWires(a, b, undefined, tamper);
  a.attach(wireA);
  b.attach(wireB);
  return Promise.all([a.opened, b.opened]);
}
