import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFile } from "@lapidary/std";

/**
 * The token of a home directory, generated once, so that an open page can connect after a restart of the coordinator. Only the owner can read it.
 */
export function homeToken(home: string): string {
  const path = join(home, "token");
  const known = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  if (/^[A-Za-z0-9_-]{32,}$/.test(known)) return known;
  const token = randomBytes(24).toString("base64url");
  replaceFile(path, `${token}\n`, 0o600);
  return token;
}
