import { LapidaryError } from "@lapidary/std";
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import { ConfigSource, type Path } from "./config-source.js";

/** Longer than any configuration written by hand. */
const maxCharacters = 256 * 1024;

/** A YAML mapping: errors name the line and column of a value. */
export class YamlSource extends ConfigSource {
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #document: Document;

  private constructor(file: string, lines: LineCounter, document: Document) {
    super(document.toJS() as Record<string, unknown>);
    this.#file = file;
    this.#lines = lines;
    this.#document = document;
  }

  /**
   * @param file name of the file, for errors
   * @throws LapidaryError for text that is not a single plain mapping
   */
  static parse(text: string, file: string): YamlSource {
    if (text.length > maxCharacters)
      throw yamlError(
        `the file has ${text.length} characters; a configuration has at most ${maxCharacters}`,
        file,
        "name a configuration file",
      );
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const place = (offset: number): string => sourceLine(file, lines, offset);
    const [error] = document.errors;
    if (error !== undefined) throw yamlError(`not YAML: ${error.message}`, place(error.pos[0]), "correct the syntax");
    visit(document, {
      Node: (_key, node) => {
        if (isAlias(node) || node.anchor !== undefined)
          throw yamlError("YAML anchors and aliases are not allowed", place(node.range?.[0] ?? 0), "write the value at each place instead");
      },
    });
    if (!isMap(document.contents)) throw yamlError("expected a mapping of keys to values", file, "write lines of the form key: value");
    return new YamlSource(file, lines, document);
  }

  override has(path: Path): boolean {
    return this.#document.hasIn(path.map((key) => (typeof key === "symbol" ? String(key) : key)));
  }

  /** `file:line:column`. */
  override sourceLocation(path: Path): string {
    let node: unknown = this.#document.contents;
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
    return sourceLine(this.#file, this.#lines, offset);
  }
}

function sourceLine(file: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${line}:${col}`;
}

const yamlError = (message: string, location: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CONFIG_YAML", message, location, remedy });
