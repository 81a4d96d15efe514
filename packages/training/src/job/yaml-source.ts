import { LapidaryError } from "@lapidary/std";
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";

export type Path = readonly PropertyKey[];

/** Longer than any configuration that a person writes. */
const maxCharacters = 256 * 1024;

/** A YAML mapping as plain values, which remembers where each of them stands, and takes `key=value` overrides on top. */
export class YamlSource {
  private readonly overrides: { readonly path: readonly string[]; readonly text: string }[] = [];

  private constructor(
    private readonly file: string,
    private readonly lines: LineCounter,
    private readonly document: Document,
    readonly value: Record<string, unknown>,
    private readonly isPrinted: boolean,
  ) {}

  /**
   * @param file stands in errors
   * @param isPrinted whether Lapidary printed the text: its lines say nothing to a person, and errors name keys instead
   * @throws LapidaryError for text that is not one plain mapping
   */
  static parse(text: string, file: string, isPrinted = false): YamlSource {
    if (text.length > maxCharacters)
      throw yamlError(
        `the file has ${text.length} characters; a configuration has at most ${maxCharacters}`,
        file,
        "name a configuration file",
      );
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const place = (offset: number): string => placeAt(file, lines, offset);
    const [error] = document.errors;
    if (error !== undefined) throw yamlError(`not YAML: ${error.message}`, place(error.pos[0]), "correct the syntax");
    visit(document, {
      Node: (_key, node) => {
        if (isAlias(node) || node.anchor !== undefined)
          throw yamlError(
            "YAML anchors and aliases are not allowed",
            place(node.range?.[0] ?? 0),
            "write the value out where it is needed",
          );
      },
    });
    if (!isMap(document.contents)) throw yamlError("the file is no mapping of keys to values", file, "write lines of the form key: value");
    return new YamlSource(file, lines, document, document.toJS() as Record<string, unknown>, isPrinted);
  }

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
    this.overrides.push({ path, text });
  }

  /** Whether what stands at `path` comes from an override. */
  isOverridden(path: Path): boolean {
    return this.overrides.some((override) => isPrefix(override.path, path));
  }

  /** Whether an override gives what stands at `path`, or any part of it. */
  isTouched(path: Path): boolean {
    return this.isOverridden(path) || this.overrides.some((override) => isPrefix(path, override.path));
  }

  /** `file:line:column` of the deepest part of `path` that stands in the file, or the override that it comes from; the key itself in a printed text. */
  placeOf(path: Path): string {
    const stands = this.document.hasIn(path.map((key) => (typeof key === "symbol" ? String(key) : key)));
    const override = this.overrides.findLast(({ path: over }) => isPrefix(over, path) || (!stands && isPrefix(path, over)));
    if (override !== undefined) return `override ${override.text}`;
    if (this.isPrinted) return path.length === 0 ? this.file : path.map(String).join(".");
    let node: unknown = this.document.contents;
    let offset = isMap(node) ? (node.range?.[0] ?? 0) : 0;
    for (const key of path) {
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
        if (pair === undefined || !isScalar(pair.key)) break;
        [offset, node] = [pair.key.range?.[0] ?? offset, pair.value];
      } else if (isSeq(node)) {
        const item = node.items[Number(key)];
        if (item === undefined) break;
        [offset, node] = [(item as { range?: [number, number, number] }).range?.[0] ?? offset, item];
      } else break;
    }
    return placeAt(this.file, this.lines, offset);
  }
}

function placeAt(file: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${line}:${col}`;
}

const yamlError = (message: string, place: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CONFIG_YAML", message, place, remedy });

const isPrefix = (prefix: Path, path: Path): boolean =>
  prefix.length <= path.length && prefix.every((key, i) => String(key) === String(path[i]));

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What stands at a path of plain values; undefined where nothing does. */
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
