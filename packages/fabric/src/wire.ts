/**
 * An ordered stream of bytes in both directions, below a channel: a unix socket, or a pair in memory for tests. It has no
 * knowledge of frames.
 */
export interface Wire {
  /**
   * Queues the bytes of `parts`, in order and without a copy. They must not change until `flushed` is called. `flushed` is not
   * called after the wire broke.
   */
  write(parts: readonly Uint8Array[], flushed: () => void): void;
  /** Ends the stream: the peer sees the end after all written bytes. */
  end(): void;
  /** Closes immediately and drops unsent bytes. */
  destroy(): void;
  /** Stops reading until `resume`: back-pressure to the peer. */
  pause(): void;
  resume(): void;
}

/** The reader of a wire. */
export interface WireSink {
  /** The buffer for the next bytes; never empty. */
  target(): Uint8Array;
  /** Reports that `bytes` bytes were written to the target. */
  advance(bytes: number): void;
  /** Passes bytes in a buffer of the wire. */
  feed(chunk: Uint8Array): void;
  /** The peer ended the stream (no error), or the wire broke. Called once, after all bytes. */
  ended(error?: unknown): void;
}

/** Connects processes: by unix sockets, or by the network of the fault simulation. */
export interface Transport {
  /**
   * Connects to the process that listens on `path`, once.
   *
   * @throws LAP_FABRIC_UNREACHABLE if no process listens there within `timeoutMs`
   */
  dial(path: string, sink: WireSink, timeoutMs: number): Promise<Wire>;
  /**
   * Accepts connections. The socket of a dead process is replaced.
   *
   * @param accept receives each connection; it calls `attach` once, with the reader of the connection
   * @returns stops to accept
   * @throws LAP_FABRIC_ADDRESS if another process listens on `path` or it cannot be created
   */
  listen(path: string, accept: (attach: (sink: WireSink) => Wire) => void): Promise<() => void>;
}

/** Replaces the parts of one frame before they are written; may return none, or the parts of several frames. For tests. */
export type FrameFault = (parts: readonly Uint8Array[]) => readonly Uint8Array[];
