import { LapidaryError } from "@lapidary/std";

export type Path = readonly PropertyKey[];

/** A configuration as plain values. It knows the location of each value, and it applies `key=value` overrides. */
export abstract class ConfigSource {
  readonly #overrides: { readonly path: readonly string[]; readonly text: string }[] = [];
  readonly #renames: { readonly old: Path; readonly current: Path }[] = [];

  /** @param value the configuration; `override` changes it */
  constructor(readonly value: Record<string, unknown>) {}

  /** Whether the source has a value at `path`, before any override. */
  abstract has(path: Path): boolean;

  /** The location of the deepest part of `path` that the source has. */
  abstract sourceLocation(path: Path): string;

  /** Sets the value at a path of keys and creates missing mappings. `undefined` removes the value. Errors show `text`, the override as the user wrote it. */
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

  /**
   * Moves the value at `old` to `current`, which has the same parent. Errors about `current` then have the location of `old`.
   *
   * @returns false if `old` has no value, or if `current` has a value already
   */
  rename(old: readonly string[], current: readonly string[]): boolean {
    const parent = valueAt(this.value, old.slice(0, -1));
    const [from, to] = [old.at(-1) ?? "", current.at(-1) ?? ""];
    if (!isRecord(parent) || !Object.hasOwn(parent, from) || Object.hasOwn(parent, to)) return false;
    parent[to] = parent[from];
    delete parent[from];
    this.#renames.push({ old, current });
    return true;
  }

  /** Whether the value at `path` comes from an override. */
  isOverridden(path: Path): boolean {
    return this.#overrides.some((override) => isPrefix(override.path, path));
  }

  /** Whether an override gives the value at `path`, or any part of it. */
  isTouched(path: Path): boolean {
    return this.isOverridden(path) || this.#overrides.some((override) => isPrefix(path, override.path));
  }

  /** The keys below `path` that overrides set, in the order of the overrides. */
  overriddenKeys(path: Path): string[] {
    return this.#overrides.flatMap((override) =>
      override.path.length === path.length + 1 && isPrefix(path, override.path) ? [override.path.at(-1) ?? ""] : [],
    );
  }

  /** The location of the deepest part of `path` in the source, or the override that sets it. */
  locationOf(path: Path): string {
    const written = this.#writtenPath(path);
    const exists = this.has(written);
    const override = this.#overrides.findLast(({ path: over }) => isPrefix(over, path) || (!exists && isPrefix(path, over)));
    return override === undefined ? this.sourceLocation(written) : `override ${override.text}`;
  }

  /** The path as the source has it: with the old key if the key was renamed. */
  #writtenPath(path: Path): Path {
    if (this.has(path)) return path;
    const rename = this.#renames.find(({ old, current }) => isPrefix(current, path) && this.has(old));
    return rename === undefined ? path : [...rename.old, ...path.slice(rename.current.length)];
  }
}

/** A configuration that consists of plain values. Errors name its keys. */
export class ValueSource extends ConfigSource {
  readonly #given: Readonly<Record<string, unknown>>;
  readonly #name: string;

  /**
   * @param name for errors about the whole configuration
   * @throws LAP_CONFIG_VALUE for values that nest deeper than any configuration
   */
  constructor(given: Readonly<Record<string, unknown>>, name: string) {
    checkDepth(given, name);
    super(structuredClone(given));
    this.#given = given;
    this.#name = name;
  }

  override has(path: Path): boolean {
    return valueAt(this.#given, path) !== undefined;
  }

  override sourceLocation(path: Path): string {
    return path.length === 0 ? this.#name : path.map(String).join(".");
  }
}

/** A mapping inside a configuration, such as a job inside a pipeline file. Errors have the locations of the whole configuration. */
export class PartSource extends ConfigSource {
  readonly #whole: ConfigSource;
  readonly #at: Path;

  /** @param at the path of the mapping */
  constructor(whole: ConfigSource, at: readonly string[]) {
    const part = valueAt(whole.value, at);
    super(isRecord(part) ? structuredClone(part) : {});
    this.#whole = whole;
    this.#at = at;
  }

  override has(path: Path): boolean {
    return this.#whole.has([...this.#at, ...path]);
  }

  override sourceLocation(path: Path): string {
    return this.#whole.sourceLocation([...this.#at, ...path]);
  }
}

/** The schema of a job nests far less deeply. */
const maxDepth = 32;

/** Values from another process may nest so deep that a recursive function overflows the stack. */
function checkDepth(root: unknown, location: string): void {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth)
      throw new LapidaryError({
        code: "LAP_CONFIG_VALUE",
        message: `the values nest deeper than ${maxDepth} levels`,
        location,
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
