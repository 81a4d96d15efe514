import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFile } from "@lapidary/std";

/**
 * The token of a home directory, made once: a page that was let in stays so when the coordinator starts again. Readable by its owner alone.
 */
export function homeToken(home: string): string {
  const path = join(home, "token");
  const known = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  if (/^[A-Za-z0-9_-]{32,}$/.test(known)) return known;
  const token = randomBytes(24).toString("base64url");
  replaceFile(path, `${token}\n`, 0o600);
  return token;
}
