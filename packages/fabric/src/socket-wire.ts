import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { LapidaryError, maxSocketPathBytes } from "@lapidary/std";
import { unreachableError } from "./errors.js";
import type { Wire, WireSink } from "./wire.js";

/**
 * Connects to the unix socket at `path` once.
 *
 * The socket reads straight into the sink's targets (`onread`), where one read call takes what the kernel has instead of
 * 64 KiB. Accepted sockets cannot do so with Node's public interface; they read into buffers of Node's and copy.
 *
 * @throws LAP_FABRIC_UNREACHABLE when nobody listens there, or not within `timeoutMs`
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
        ? `no answer within ${timeoutMs} ms`
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
  // "end" does not wait for what is still to be written to a side that no longer reads; "close" does.
  socket.on("end", end);
  socket.on("close", end);
  return {
    write(parts, flushed) {
      if (parts.length === 0) return flushed();
      const done = (failure: Error | null | undefined): void => {
        if (failure == null) flushed();
      };
      // One writev for all parts: the kernel copies, we do not.
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

/** @throws LAP_FABRIC_PATH when the system cannot address so long a path (it would cut it silently) */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > maxSocketPathBytes)
    throw new LapidaryError({
      code: "LAP_FABRIC_PATH",
      message: `the path of a unix socket has at most ${maxSocketPathBytes} bytes, this one ${Buffer.byteLength(path)}`,
      place: path,
    });
}
