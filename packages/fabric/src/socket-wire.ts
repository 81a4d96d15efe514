import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { LapidaryError, maxSocketPathBytes } from "@lapidary/std";
import { unreachableError } from "./errors.js";
import type { Wire, WireSink } from "./wire.js";

/**
 * Connects to the unix socket at `path` once.
 *
 * The socket reads directly into the sink's targets (`onread`), so one read call gets all bytes of the kernel instead of
 * 64 KiB. The public interface of Node offers this only for connecting sockets; accepted sockets read into Node's buffers, and
 * the sink copies.
 *
 * @throws LAP_FABRIC_UNREACHABLE if no process listens there within `timeoutMs`
 */
export async function dialSocket(path: string, sink: WireSink, timeoutMs: number): Promise<Wire> {
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
export function acceptSocket(socket: Socket, sink: WireSink): Wire {
  socket.on("data", (chunk: Buffer) => sink.feed(chunk));
  return socketWire(socket, sink);
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
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > maxSocketPathBytes)
    throw new LapidaryError({
      code: "LAP_FABRIC_PATH",
      message: `socket path too long: ${Buffer.byteLength(path)} bytes, a unix socket allows ${maxSocketPathBytes}`,
      location: path,
    });
}
