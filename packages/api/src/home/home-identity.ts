import { randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { directoryStamp, replaceFile } from "@lapidary/std";
import { z } from "zod";

const identitySchema = z.object({ id: z.string().regex(/^[0-9a-f]{24}$/), directory: z.string() });

/** The file of a home directory that holds its identity. */
const identityPath = (home: string): string => join(home, "identity.json");

/**
 * The identity of a home directory: drawn once and kept in it, so that two homes never share keys of one Redis, whatever their paths and
 * host names are. A copied home is another directory and gets an identity of its own; a renamed one keeps its identity. The device is compared too: roots of
 * file systems have equal inodes. Nothing is lost by a new
 * one: the queue in Redis is filled again from the runs on the disk.
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
    // Absent, or nothing that we wrote.
    return undefined;
  }
}
