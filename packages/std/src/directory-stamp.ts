import { statSync } from "node:fs";

/**
 * What distinguishes a directory from its copies: inode and time of creation. A rename keeps both. Files inside that name a process or a socket
 * hold this stamp: in a copy of the directory they do not count.
 */
export function directoryStamp(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true });
  return `${ino} ${birthtimeNs}`;
}
