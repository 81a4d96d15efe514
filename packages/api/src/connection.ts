import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { directoryStamp, LapidaryError, replaceFile } from "@lapidary/std";
import { type Connection, connectionSchema } from "./schemas.js";

/** Where the coordinator of a home directory leaves word of itself. */
const connectionPath = (home: string): string => join(home, "coordinator.json");

/** Readable by its owner alone: it holds the token. */
export function writeConnection(home: string, connection: Connection): void {
  replaceFile(connectionPath(home), `${JSON.stringify({ ...connection, directory: directoryStamp(home) }, null, 2)}\n`, 0o600);
  chmodSync(connectionPath(home), 0o600);
}

/** Removes the word of process `pid`, not that of one that came after it. */
export function removeConnection(home: string, pid: number): void {
  if (findConnection(home)?.pid === pid) rmSync(connectionPath(home), { force: true });
}

/** Undefined when there is none, or it makes no sense, or it came with a copy of another home. The process it names may be gone. */
export function findConnection(home: string): Connection | undefined {
  const path = connectionPath(home);
  if (!existsSync(path)) return undefined;
  try {
    return isCopied(home) ? undefined : connectionSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    // Half gone or of another version: as good as none.
    return undefined;
  }
}

/** @throws LAP_COORDINATOR_DOWN when no coordinator has left word */
export function readConnection(home: string): Connection {
  const connection = findConnection(home);
  if (connection !== undefined) return connection;
  if (existsSync(connectionPath(home)) && !isCopied(home))
    throw new LapidaryError({
      code: "LAP_COORDINATOR_DOWN",
      message: "the file that says how to reach the coordinator cannot be read: it is damaged, or another version of Lapidary wrote it",
      place: connectionPath(home),
      remedy: "stop what is up with `lapidary down`, then start it with `lapidary up`",
    });
  throw coordinatorDown(connectionPath(home), "none has been started here");
}

/** Whether the file is of the home directory from which this one was copied. */
function isCopied(home: string): boolean {
  try {
    const { directory } = JSON.parse(readFileSync(connectionPath(home), "utf8")) as { directory?: unknown };
    return typeof directory === "string" && directory !== directoryStamp(home);
  } catch {
    // Gone, or nothing that we wrote: `findConnection` finds out.
    return false;
  }
}

export function coordinatorDown(place: string, why: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_COORDINATOR_DOWN",
    message: `the coordinator does not answer: ${why}`,
    place,
    remedy: "start it with `lapidary up`",
    cause,
  });
}
