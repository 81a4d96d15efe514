import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { tpuScript } from "@lapidary/interop";

/** The directory of the package `lapidary_xla`. */
const importPath = join(dirname(tpuScript()), "../xla");

/** Runs a Python script that can import `lapidary_xla`, with the values as JSON in `given`, and returns the JSON value that it prints. */
export function runPython(script: string, given: unknown): unknown {
  const head = `import json, sys\nsys.path.insert(0, ${JSON.stringify(importPath)})\ngiven = json.load(sys.stdin)\n`;
  const python = process.env["LAPIDARY_PYTHON"] ?? "python3";
  return JSON.parse(execFileSync(python, ["-c", head + script], { input: JSON.stringify(given), encoding: "utf8" }));
}
