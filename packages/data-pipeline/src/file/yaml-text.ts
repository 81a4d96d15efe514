import { LapidaryError } from "@lapidary/std";
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";

export type YamlPath = readonly PropertyKey[];

/** A YAML mapping whose values have locations. */
export class YamlText {
  readonly value: unknown;
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #document: Document;

  /** @throws LapidaryError LAP_DATA_PIPELINE for a text that is not one plain mapping */
  constructor(text: string, file: string) {
    this.#file = file;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const [error] = this.#document.errors;
    if (error !== undefined) throw pipelineError(`not YAML: ${error.message}`, this.#at(error.pos[0]), "correct the syntax");
    visit(this.#document, {
      Node: (_key, node) => {
        if (isAlias(node) || node.anchor !== undefined)
          throw pipelineError("YAML anchors and aliases are not allowed", this.#at(node.range?.[0] ?? 0), "write the value at each place");
      },
    });
    if (!isMap(this.#document.contents)) throw pipelineError("expected a mapping of keys to values", file, "write sources, stages and out");
    this.value = this.#document.toJS();
  }

  /** `file:line:column` of the key or item at a path, or of the nearest one above it. */
  locationOf(path: YamlPath): string {
    let node: unknown = this.#document.contents;
    let offset = 0;
    for (const key of path) {
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
        if (pair === undefined || !isScalar(pair.key)) break;
        [offset, node] = [pair.key.range?.[0] ?? offset, pair.value];
      } else if (isSeq(node)) {
        const item: unknown = node.items[Number(key)];
        if (!isMap(item) && !isSeq(item) && !isScalar(item)) break;
        [offset, node] = [item.range?.[0] ?? offset, item];
      } else break;
    }
    return this.#at(offset);
  }

  #at(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.#file}:${line}:${col}`;
  }
}

export const pipelineError = (message: string, location: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_PIPELINE", message, location, remedy });
