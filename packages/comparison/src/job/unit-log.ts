import { createHash } from "node:crypto";
import { appendFileSync, closeSync, existsSync, fsyncSync, openSync, readFileSync } from "node:fs";
import { asJson, canonicalJson, type JsonValue, parsedJson } from "@lapidary/std";

/**
 * The results of the units of a comparison, one JSON line each, so that a run that was interrupted continues after its last unit.
 *
 *     {"key": "<hash of the inputs of the unit>", "value": …}
 *
 * A last line that was cut off is ignored. The key covers everything that the result depends on, so a line never serves other inputs.
 */
export class UnitLog {
  readonly #known = new Map<string, JsonValue>();

  constructor(private readonly path: string) {
    if (!existsSync(path)) return;
    for (const line of readFileSync(path, "utf8").split("\n")) {
      const unit = parsedLine(line);
      if (unit !== undefined) this.#known.set(unit.key, unit.value);
    }
  }

  static keyOf(inputs: object): string {
    return createHash("sha256")
      .update(canonicalJson(asJson(inputs)))
      .digest("hex");
  }

  /** Number of units that are complete. */
  get size(): number {
    return this.#known.size;
  }

  get(key: string): JsonValue | undefined {
    return this.#known.get(key);
  }

  /** Survives a power cut when it returns. */
  append(key: string, value: JsonValue): void {
    const file = openSync(this.path, "a");
    try {
      // A line break first ends a line that was cut off.
      appendFileSync(file, `\n${JSON.stringify({ key, value })}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    this.#known.set(key, value);
  }
}

function parsedLine(line: string): { readonly key: string; readonly value: JsonValue } | undefined {
  if (!line.startsWith("{") || !line.endsWith("}")) return undefined;
  return parsedJson(line) as { key: string; value: JsonValue } | undefined;
}
