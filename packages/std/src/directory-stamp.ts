import { statSync } from "node:fs";

/**
 * The identity of a directory, which its copies do not share: inode and time of creation. A rename keeps both. Files inside that name a process or a socket
 * contain this stamp. In a copy of the directory they are ignored.
 */
export function directoryStamp(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true });
  return `${ino} ${birthtimeNs}`;
}
