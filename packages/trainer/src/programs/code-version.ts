import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Packages whose code decides what a program is, and what its view contains. */
const deciding = [
  "std",
  "topology",
  "ir",
  "models",
  "compiler",
  "simulator",
  "protocol",
  "training",
  "cluster",
  "telemetry",
  "trainer",
] as const;

/**
 * Changes whenever the code that makes programs does: the compiler's build record of a package holds a hash of each of its sources. Without such
 * records (an installation that was not built here) the date of its code stands in for them.
 */
export function codeVersion(): string {
  const hash = createHash("sha256");
  for (const name of deciding) {
    const code = fileURLToPath(import.meta.resolve(`@lapidary/${name}`));
    const record = join(dirname(code), ".tsbuildinfo");
    hash.update(readFileSync(existsSync(record) ? record : code));
  }
  return hash.digest("hex").slice(0, 16);
}
