import type { Channel } from "../channel.js";
import { type Listener, type ListenOptions, listen } from "../listen.js";

/** Listens, and returns the first channel that is opened. */
export async function acceptOne(
  path: string,
  options: ListenOptions = {},
): Promise<{ readonly channel: Promise<Channel>; readonly listener: Listener }> {
  let accept: (channel: Channel) => void = () => undefined;
  const channel = new Promise<Channel>((resolve) => {
    accept = resolve;
  });
  return { channel, listener: await listen(path, (opened) => accept(opened), options) };
}
