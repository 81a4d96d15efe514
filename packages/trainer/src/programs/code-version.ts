import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Packages whose code decides a program and its view. */
const deciding = [
  "std",
  "topology",
  "ir",
  "models",
  "stablehlo",
  "compiler",
  "simulator",
  "protocol",
  "training",
  "post-training",
  "recipe",
  "cluster",
  "telemetry",
  "trainer",
] as const;

/**
 * Changes with the code that makes programs: the compiler's build record of a package contains a hash of each of its sources. If there are no such
 * records (Lapidary was not built here), the date of the code is used instead.
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
