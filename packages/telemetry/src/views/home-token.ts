import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFile } from "@lapidary/std";

/**
 * A token of a home directory, generated once, so that its clients can connect after a restart of the server. Only the owner can read it.
 *
 * @param file `token` is the token of the coordinator. `serve-token` is the token of model servers, whose clients cannot use the coordinator.
 */
export function homeToken(home: string, file: "token" | "serve-token" = "token"): string {
  const path = join(home, file);
  const known = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  if (/^[A-Za-z0-9_-]{32,}$/.test(known)) return known;
  const token = randomBytes(24).toString("base64url");
  replaceFile(path, `${token}\n`, 0o600);
  return token;
}
