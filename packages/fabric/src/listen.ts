import { once } from "node:events";
import { chmodSync, unlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { LapidaryError } from "@lapidary/std";
import { type Channel, type ChannelOptions, WireChannel } from "./channel.js";
import { acceptSocket, checkSocketPath, dialSocket } from "./socket-wire.js";
import type { WireSink } from "./wire.js";

export interface Listener {
  readonly path: string;
  /** Takes no more connections and removes the socket; open channels stay open. */
  close(): void;
}

export interface ListenOptions extends ChannelOptions {
  /** Hears of connections that were refused: of another epoch, or speaking nonsense. */
  readonly onRefused?: (error: LapidaryError) => void;
}

/**
 * Opens channels to whoever connects to the unix socket `path`, readable by this user alone. `onChannel` is called once
 * both sides have said hello. A socket left behind by a dead process is replaced.
 *
 * @throws LAP_FABRIC_ADDRESS when another process listens there or the path cannot be made, LAP_FABRIC_PATH
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
    if ((error as { code?: string }).code !== "EADDRINUSE" || (await answers(path))) throw error;
    unlinkSync(path);
    await listening();
  }
}

/** Whether a process still listens on the socket file. */
async function answers(path: string): Promise<boolean> {
  const deaf: WireSink = { target: () => new Uint8Array(1), advance: () => undefined, feed: () => undefined, ended: () => undefined };
  try {
    (await dialSocket(path, deaf, 1000)).destroy();
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
    place: path,
    cause,
  });
}

/**
 * Opens a channel to whoever listens at `path`.
 *
 * @throws LAP_FABRIC_UNREACHABLE when nobody does, or does not answer within `timeoutMs`; LAP_FABRIC_EPOCH; LAP_FABRIC_PATH
 */
export async function connect(path: string, options: ChannelOptions = {}): Promise<Channel> {
  const channel = new WireChannel(path, options);
  const wire = await dialSocket(path, channel, options.timeoutMs ?? 5000);
  channel.attach(wire);
  return channel.opened;
}
