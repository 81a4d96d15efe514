import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ExitCode, assert } from "@lapidary/std";
import type { Context } from "../context.js";

/** The project's version. */
export function readVersion(root: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert(
    typeof manifest === "object" && manifest !== null && "version" in manifest && typeof manifest.version === "string",
    "package.json states a version",
  );
  return manifest.version;
}

export async function version(context: Context): Promise<ExitCode> {
  const facts = { version: readVersion(context.root), node: process.versions.node, platform: `${process.platform}-${process.arch}` };
  context.console.result(facts, () => `lapidary ${facts.version} (Node ${facts.node}, ${facts.platform})`);
  return ExitCode.done;
}
