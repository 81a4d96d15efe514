import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * It must increase if a worker of an earlier build would misunderstand a message. A coordinator does not take over such a worker.
 */
export const protocolVersion = 3;

/**
 * Names the build of this package, for errors: `protocol 3 (1f0a…)`. The digest is of the compiler's build record, which has a hash of every source;
 * of this file if there is no record.
 */
export function buildId(): string {
  const record = fileURLToPath(new URL("./.tsbuildinfo", import.meta.url));
  const bytes = readFileSync(existsSync(record) ? record : fileURLToPath(import.meta.url));
  return `protocol ${protocolVersion} (${createHash("sha256").update(bytes).digest("hex").slice(0, 8)})`;
}
