/** A stretch of a file. */
export interface FilePart {
  readonly bytes: Uint8Array;
  /** Its checksum, where that is known: it is not computed again. */
  readonly crc32?: number | undefined;
}

/** Files of a directory that are being written, together: what is done to all of them costs little more than what is done to one. */
export interface DiskFiles {
  /** Appends parts to each file, in the order in which they were made. Parts stay as they are until it is done. @returns their checksums, by file */
  write(parts: readonly (readonly FilePart[])[]): Promise<readonly (readonly number[])[]>;
  /** Resolves when what was written to all of them survives a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
