import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Steps that JAX printed, with inputs and results: see the README of the directory. */
const goldenDirectory = fileURLToPath(new URL("../../../../e2e/golden/stablehlo/", import.meta.url));

export const goldenText = (path: string): string => readFileSync(join(goldenDirectory, path), "utf8");

/** The paths of all texts. */
export const goldenTexts = (): string[] =>
  readdirSync(goldenDirectory, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".mlir"))
    .sort();
