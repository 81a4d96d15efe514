import { once } from "node:events";
import { chmodSync, unlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { LapidaryError } from "@lapidary/std";
import { type Channel, type ChannelOptions, WireChannel } from "./channel.js";
import { acceptSocket, checkSocketPath, dialSocket } from "./socket-wire.js";
import type { WireSink } from "./wire.js";

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
  checkSocketPath(path);
  const opening = new Set<WireChannel>();
  const server = createServer((socket) => {
    const channel = new WireChannel(path, options);
    opening.add(channel);
    channel.attach(acceptSocket(socket, channel));
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
  try {
    await bind(server, path);
  } catch (cause) {
    throw addressError(path, cause);
  }
  chmodSync(path, 0o600);
  return {
    path,
    close() {
      server.close();
      for (const channel of opening) void channel.close();
    },
  };
}

async function bind(server: Server, path: string): Promise<void> {
  const listening = async (): Promise<void> => {
    server.listen(path);
    await once(server, "listening");
  };
  try {
    await listening();
  } catch (error) {
    if ((error as { code?: string }).code !== "EADDRINUSE" || (await isListening(path))) throw error;
    unlinkSync(path);
    await listening();
  }
}

/** Whether a process listens on the socket file. */
async function isListening(path: string): Promise<boolean> {
  const noSink: WireSink = { target: () => new Uint8Array(1), advance: () => undefined, feed: () => undefined, ended: () => undefined };
  try {
    (await dialSocket(path, noSink, 1000)).destroy();
    return true;
  } catch (error) {
    const cause: unknown = error instanceof LapidaryError ? error.cause : undefined;
    return (cause as { code?: string } | undefined)?.code !== "ECONNREFUSED";
  }
}

function addressError(path: string, cause: unknown): LapidaryError {
  const { code } = cause as { code?: string };
  return new LapidaryError({
    code: "LAP_FABRIC_ADDRESS",
    message: code === "EADDRINUSE" ? "another process listens on this socket" : `cannot listen on this socket: ${code ?? String(cause)}`,
    location: path,
    cause,
  });
}

/**
 * Opens a channel to the process that listens on `path`.
 *
 * @throws LAP_FABRIC_UNREACHABLE if no process listens, or none replies within `timeoutMs`; LAP_FABRIC_EPOCH; LAP_FABRIC_PATH
 */
export async function connect(path: string, options: ChannelOptions = {}): Promise<Channel> {
  const channel = new WireChannel(path, options);
  const wire = await dialSocket(path, channel, options.timeoutMs ?? 5000);
  channel.attach(wire);
  return channel.opened;
}
