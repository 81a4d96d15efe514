import { once } from "node:events";
import { chmodSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { LapidaryError, maxSocketPathBytes } from "@lapidary/std";
import { unreachableError } from "./errors.js";
import type { Transport, Wire, WireSink } from "./wire.js";

/** Unix sockets, to which only this user can connect. */
export const unixSockets: Transport = { dial: dialSocket, listen: listenOnSocket };

/**
 * Connects to the unix socket at `path` once.
 *
 * The socket reads directly into the sink's targets (`onread`), so one read call gets all bytes of the kernel instead of
 * 64 KiB. The public interface of Node offers this only for connecting sockets; accepted sockets read into Node's buffers, and
 * the sink copies.
 *
 * @throws LAP_FABRIC_UNREACHABLE if no process listens there within `timeoutMs`
 */
async function dialSocket(path: string, sink: WireSink, timeoutMs: number): Promise<Wire> {
  checkSocketPath(path);
  const onread = {
    buffer: () => sink.target(),
    callback: (bytes: number) => {
      sink.advance(bytes);
      return true;
    },
  };
  const socket = connect({ path, onread });
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(timeoutMs) });
  } catch (cause) {
    socket.destroy();
    const why =
      cause instanceof Error && cause.name === "AbortError"
        ? `no reply within ${timeoutMs} ms`
        : String((cause as { code?: string }).code ?? cause);
    throw unreachableError(path, why, cause);
  }
  return socketWire(socket, sink);
}

/** A socket that a server accepted. */
function acceptSocket(socket: Socket, sink: WireSink): Wire {
  socket.on("data", (chunk: Buffer) => sink.feed(chunk));
  return socketWire(socket, sink);
}

async function listenOnSocket(path: string, accept: (attach: (sink: WireSink) => Wire) => void): Promise<() => void> {
  checkSocketPath(path);
  const server = createServer((socket) => accept((sink) => acceptSocket(socket, sink)));
  try {
    await bind(server, path);
  } catch (cause) {
    throw addressError(path, cause);
  }
  chmodSync(path, 0o600);
  return () => void server.close();
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

function socketWire(socket: Socket, sink: WireSink): Wire {
  let error: unknown;
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    sink.ended(error);
  };
  socket.on("error", (cause) => {
    error = cause;
  });
  // "close" waits until all data is written, even to a peer that no longer reads; "end" does not.
  socket.on("end", end);
  socket.on("close", end);
  return {
    write(parts, flushed) {
      if (parts.length === 0) return flushed();
      const done = (failure: Error | null | undefined): void => {
        if (failure == null) flushed();
      };
      // One writev for all parts, so that only the kernel copies.
      if (parts.length > 1) socket.cork();
      parts.forEach((part, i) => socket.write(part, i === parts.length - 1 ? done : undefined));
      if (parts.length > 1) socket.uncork();
    },
    end: () => socket.end(),
    destroy: () => socket.destroy(),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  };
}

/** @throws LAP_FABRIC_PATH if the path is too long for the system, which would truncate it silently */
function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > maxSocketPathBytes)
    throw new LapidaryError({
      code: "LAP_FABRIC_PATH",
      message: `socket path too long: ${Buffer.byteLength(path)} bytes, a unix socket allows ${maxSocketPathBytes}`,
      location: path,
    });
}
