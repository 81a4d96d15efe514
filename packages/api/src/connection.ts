import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { directoryStamp, LapidaryError, replaceFile } from "@lapidary/std";
import { type Connection, connectionSchema } from "./schemas.js";

/** The file with the address and token of the coordinator. */
const connectionPath = (home: string): string => join(home, "coordinator.json");

/** Only the owner can read the file, because it contains the token. */
export function writeConnection(home: string, connection: Connection): void {
  replaceFile(connectionPath(home), `${JSON.stringify({ ...connection, directory: directoryStamp(home) }, null, 2)}\n`, 0o600);
  chmodSync(connectionPath(home), 0o600);
}

/** Removes the file of process `pid`. The file of a later coordinator stays. */
export function removeConnection(home: string, pid: number): void {
  if (findConnection(home)?.pid === pid) rmSync(connectionPath(home), { force: true });
}

/** The content of the file. Undefined if it is missing, damaged, or copied with another state directory. Its process may have ended. */
export function findConnection(home: string): Connection | undefined {
  const path = connectionPath(home);
  if (!existsSync(path)) return undefined;
  try {
    return isCopied(home) ? undefined : connectionSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    // A damaged file, or a file of another version, counts as missing.
    return undefined;
  }
}

/** @throws LAP_COORDINATOR_DOWN if the file is missing or unreadable */
export function readConnection(home: string): Connection {
  const connection = findConnection(home);
  if (connection !== undefined) return connection;
  if (existsSync(connectionPath(home)) && !isCopied(home))
    throw new LapidaryError({
      code: "LAP_COORDINATOR_DOWN",
      message: "the file with the address of the coordinator cannot be read: it is damaged, or another version of Lapidary wrote it",
      location: connectionPath(home),
      remedy: "stop the coordinator with `lapidary down`, then start it with `lapidary up`",
    });
  throw coordinatorDown(connectionPath(home), "none has been started here");
}

/** Whether the file belongs to the state directory from which this one was copied. */
function isCopied(home: string): boolean {
  try {
    const { directory } = JSON.parse(readFileSync(connectionPath(home), "utf8")) as { directory?: unknown };
    return typeof directory === "string" && directory !== directoryStamp(home);
  } catch {
    // A missing or damaged file; `findConnection` handles both.
    return false;
  }
}

export function coordinatorDown(location: string, why: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_COORDINATOR_DOWN",
    message: `the coordinator does not answer: ${why}`,
    location,
    remedy: "start it with `lapidary up`",
    cause,
  });
}
