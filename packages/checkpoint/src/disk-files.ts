/** A segment of a file. */
export interface FilePart {
  readonly bytes: Uint8Array;
  /** Its checksum, if known, so that it is not computed again. */
  readonly crc32?: number | undefined;
}

/** The files of a directory that are being written together. An operation on all of them costs little more than one on a single file. */
export interface DiskFiles {
  /** Appends parts to each file, in order. Parts must not change until this resolves. @returns their checksums, by file */
  write(parts: readonly (readonly FilePart[])[]): Promise<readonly (readonly number[])[]>;
  /** Resolves when all writes survive a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
