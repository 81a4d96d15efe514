import { LapidaryError } from "@lapidary/std";

export type Path = readonly PropertyKey[];

/** A configuration as plain values, which remembers where each of them is from, and takes `key=value` overrides on top. */
export abstract class ConfigSource {
  readonly #overrides: { readonly path: readonly string[]; readonly text: string }[] = [];

  /** @param value the configuration; `override` changes it */
  constructor(readonly value: Record<string, unknown>) {}

  /** Whether the source has a value at `path`, before any override. */
  protected abstract has(path: Path): boolean;

  /** Where the source has the deepest part of `path`. */
  protected abstract locationOf(path: Path): string;

  /** Puts `value` at a path of keys, making mappings on the way; undefined removes. `text` is the override as it was given, for errors. */
  override(path: readonly string[], value: unknown, text: string): void {
    let at: Record<string, unknown> = this.value;
    for (const key of path.slice(0, -1)) {
      const next = Object.hasOwn(at, key) ? at[key] : undefined;
      const inner = isRecord(next) ? next : {};
      if (inner !== next) define(at, key, inner);
      at = inner;
    }
    const last = path.at(-1) ?? "";
    if (value === undefined) delete at[last];
    else define(at, last, value);
    this.#overrides.push({ path, text });
  }

  /** Whether the value at `path` comes from an override. */
  isOverridden(path: Path): boolean {
    return this.#overrides.some((override) => isPrefix(override.path, path));
  }

  /** Whether an override gives the value at `path`, or any part of it. */
  isTouched(path: Path): boolean {
    return this.isOverridden(path) || this.#overrides.some((override) => isPrefix(path, override.path));
  }

  /** Where the deepest part of `path` is in the source, or the override that it comes from. */
  placeOf(path: Path): string {
    const stands = this.has(path);
    const override = this.#overrides.findLast(({ path: over }) => isPrefix(over, path) || (!stands && isPrefix(path, over)));
    return override === undefined ? this.locationOf(path) : `override ${override.text}`;
  }
}

/** A configuration that is plain values already: errors name its keys. */
export class ValueSource extends ConfigSource {
  readonly #given: Readonly<Record<string, unknown>>;
  readonly #name: string;

  /**
   * @param name stands in errors about the whole configuration
   * @throws LAP_CONFIG_VALUE for values that nest so deep that no configuration has them
   */
  constructor(given: Readonly<Record<string, unknown>>, name: string) {
    checkDepth(given, name);
    super(structuredClone(given));
    this.#given = given;
    this.#name = name;
  }

  protected override has(path: Path): boolean {
    return valueAt(this.#given, path) !== undefined;
  }

  protected override locationOf(path: Path): string {
    return path.length === 0 ? this.#name : path.map(String).join(".");
  }
}

/** Far more than the schema of a job has. */
const maxDepth = 32;

/** Values from another process may nest so deep that a recursive function overflows the stack. */
function checkDepth(root: unknown, place: string): void {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth)
      throw new LapidaryError({
        code: "LAP_CONFIG_VALUE",
        message: `the values nest deeper than ${maxDepth} levels`,
        place,
        remedy: "give a job file; `lapidary config schema` describes every key",
      });
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
  }
}

const isPrefix = (prefix: Path, path: Path): boolean =>
  prefix.length <= path.length && prefix.every((key, i) => String(key) === String(path[i]));

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The value at a path of plain values; undefined if there is none. */
export function valueAt(root: unknown, path: Path): unknown {
  let at = root;
  for (const key of path)
    at = isRecord(at) && Object.hasOwn(at, String(key)) ? at[String(key)] : Array.isArray(at) ? (at as unknown[])[Number(key)] : undefined;
  return at;
}

/** Also for keys such as `__proto__`, which plain assignment would not store. */
function define(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}
