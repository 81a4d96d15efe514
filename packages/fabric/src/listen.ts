import { LapidaryError } from "@lapidary/std";
import { type Channel, type ChannelOptions, WireChannel } from "./channel.js";
import { systemRuntime } from "./runtime.js";

export interface Listener {
  readonly path: string;
  /** Accepts no more connections and removes the socket; open channels stay open. */
  close(): void;
}

export interface ListenOptions extends ChannelOptions {
  /** Called with the error of each rejected connection, such as another epoch or invalid bytes. */
  readonly onRefused?: (error: LapidaryError) => void;
}

/**
 * Listens on the unix socket `path`, to which only this user can connect. `onChannel` is called for each client once both
 * sides have sent their hello. The socket of a dead process is replaced.
 *
 * @throws LAP_FABRIC_ADDRESS if another process listens on it or it cannot be created, LAP_FABRIC_PATH
 */
export async function listen(path: string, onChannel: (channel: Channel) => void, options: ListenOptions = {}): Promise<Listener> {
  const { transport } = options.runtime ?? systemRuntime;
  const opening = new Set<WireChannel>();
  const stop = await transport.listen(path, (attach) => {
    const channel = new WireChannel(path, options);
    opening.add(channel);
    channel.attach(attach(channel));
    channel.opened.then(
      (open) => {
        opening.delete(channel);
        onChannel(open);
      },
      (error: unknown) => {
        opening.delete(channel);
        if (!(error instanceof LapidaryError)) throw error;
        options.onRefused?.(error);
      },
    );
  });
  return {
    path,
    close() {
      stop();
      for (const channel of opening) void channel.close();
    },
  };
}

/**
 * Opens a channel to the process that listens on `path`.
 *
 * @throws LAP_FABRIC_UNREACHABLE if no process listens, or none replies within `timeoutMs`; LAP_FABRIC_EPOCH; LAP_FABRIC_PATH
 */
export async function connect(path: string, options: ChannelOptions = {}): Promise<Channel> {
  const channel = new WireChannel(path, options);
  const wire = await (options.runtime ?? systemRuntime).transport.dial(path, channel, options.timeoutMs ?? 5000);
  channel.attach(wire);
  return channel.opened;
}
