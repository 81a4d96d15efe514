import { randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { directoryStamp, replaceFile } from "@lapidary/std";
import { z } from "zod";

const identitySchema = z.object({ id: z.string().regex(/^[0-9a-f]{24}$/), directory: z.string() });

/** The file of a state directory that holds its identity. */
const identityPath = (home: string): string => join(home, "identity.json");

/**
 * The identity of a state directory: drawn once and stored in it. Two state directories never share keys of one Redis, even with equal paths and host
 * names. A copied directory gets a new identity; a renamed directory keeps its identity. The device is compared as well as the inode, because roots of
 * file systems have equal inodes. A new identity loses nothing, because the coordinator fills the queue in Redis from the runs on the disk.
 */
export function homeIdentity(home: string): string {
  const directory = `${statSync(home).dev} ${directoryStamp(home)}`;
  const known = readIdentity(home);
  if (known?.directory === directory) return known.id;
  const id = randomBytes(12).toString("hex");
  replaceFile(identityPath(home), `${JSON.stringify({ id, directory })}\n`, 0o600);
  return id;
}

function readIdentity(home: string): z.infer<typeof identitySchema> | undefined {
  try {
    return identitySchema.parse(JSON.parse(readFileSync(identityPath(home), "utf8")));
  } catch {
    // A missing or damaged file.
    return undefined;
  }
}
