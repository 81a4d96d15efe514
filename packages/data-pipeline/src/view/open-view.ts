import type { OutputStore, StoredObject } from "@lapidary/data-store";
import { assert, assertNever, ensure, LapidaryError } from "@lapidary/std";
import type { Shard, ShardFile } from "../plan/shard.js";
import type { Columns } from "../rules/parse-expression.js";
import { replaced } from "../stages/map-documents.js";
import { parsedLines } from "./json-lines.js";
import type { Edit, ShardView, Value, ViewDocument, ViewKeys } from "./view.js";

export interface ViewSource {
  readonly shard: Shard;
  readonly keys: ViewKeys;
  /** The types of the columns that the stages so far give. */
  readonly columns: Columns;
  readonly setAside: ReadonlySet<string>;
  /** Rows that the view has, to find a document that ends a process. Default: all. */
  readonly rows?: readonly [from: number, to: number] | undefined;
  /** The files of the shard on this machine. Default: the files that the shard names. */
  readonly files?: (() => AsyncIterable<ShardFile>) | undefined;
}

/**
 * A shard as the stages so far left it: its documents, the edits of each stage in order, and the columns of measures. All are
 * in the order of rows, so they are read together, with memory for one document.
 */
export function openView(store: OutputStore, { shard, keys, columns, setAside, rows, files }: ViewSource): ShardView {
  return {
    source: shard.source,
    name: shard.name,
    files: files ?? (() => shard.files),
    columns,
    setAside,
    documents: () => documentsOf(store, keys, columns, rows ?? [0, Number.POSITIVE_INFINITY]),
  };
}

async function* documentsOf(
  store: OutputStore,
  { documents, edits, columns }: ViewKeys,
  types: Columns,
  [from, to]: readonly [number, number],
): AsyncGenerator<ViewDocument> {
  const layers = await Promise.all(edits.map((key) => ByRow.open(linesOf(store, key), rowOfEdit)));
  const tables = await Promise.all(columns.map((key) => openColumns(store, key)));
  let row = -1;
  try {
    for await (const line of linesOf(store, ensure(documents, "an object of documents"))) {
      row++;
      if (row >= to) return;
      const cells = await Promise.all(tables.map(({ rows }) => rows.take(row)));
      const changes = await Promise.all(layers.map((layer) => layer.take(row)));
      const text = editedText((line as StoredDocument).text, changes as readonly (Edit | undefined)[]);
      // A line of columns without values is of a document that the stage set aside.
      const isSetAside = cells.some((values) => values?.length === 1);
      if (row < from || text === undefined || isSetAside) continue;
      yield { ...documentOf(line as StoredDocument, row, text), values: valuesOf(tables, cells, types) };
    }
  } finally {
    for (const each of [...layers, ...tables.map(({ rows }) => rows)]) await each.close();
  }
}

interface StoredDocument {
  readonly id: string;
  readonly name: string;
  readonly file: string;
  readonly place: string;
  readonly html?: true;
  readonly text: string;
}

const documentOf = ({ id, name, file, place, html }: StoredDocument, row: number, text: string): Omit<ViewDocument, "values"> => ({
  row,
  id,
  name,
  file,
  place,
  html: html === true,
  text,
});

/** The text after the edits of all stages; undefined if one of them dropped it. */
function editedText(text: string, edits: readonly (Edit | undefined)[]): string | undefined {
  let result = text;
  for (const edit of edits) {
    if (edit === undefined) continue;
    if ("drop" in edit) return undefined;
    if ("text" in edit) result = edit.text;
    else if ("replace" in edit) result = replaced(result, edit.replace);
    else assertNever(edit);
  }
  return result;
}

interface Table {
  readonly names: readonly string[];
  readonly rows: ByRow<readonly (Value | null)[]>;
}

async function openColumns(store: OutputStore, key: string): Promise<Table> {
  const lines = linesOf(store, key);
  const names = (await lines.next()).value as readonly string[];
  return { names, rows: await ByRow.open(lines as AsyncGenerator<readonly (Value | null)[]>, ([row]) => Number(row)) };
}

/** A number that is missing is null in the table, and NaN here. */
function valuesOf(
  tables: readonly Table[],
  cells: readonly (readonly (Value | null)[] | undefined)[],
  types: Columns,
): Readonly<Record<string, Value>> {
  const values: Record<string, Value> = {};
  for (const [t, { names }] of tables.entries())
    for (const [i, name] of names.entries()) values[name] = cells[t]?.[i + 1] ?? (types.get(name) === "text" ? "" : Number.NaN);
  return values;
}

const rowOfEdit = (edit: unknown): number => (edit as Edit).row;

/** Values in the order of rows, taken by row. */
class ByRow<T> {
  #next: IteratorResult<T> | undefined;

  private constructor(
    private readonly values: AsyncGenerator<T>,
    private readonly rowOf: (value: T) => number,
  ) {}

  static async open<T>(values: AsyncGenerator<T>, rowOf: (value: T) => number): Promise<ByRow<T>> {
    const rows = new ByRow(values, rowOf);
    rows.#next = await values.next();
    return rows;
  }

  /** The value of a row. Rows are asked for in order. */
  take(row: number): T | undefined | Promise<T | undefined> {
    const next = this.#next;
    if (next === undefined || next.done === true) return undefined;
    const at = this.rowOf(next.value);
    assert(at >= row, "rows are in order", at, row);
    return at === row ? this.#advance(next.value) : undefined;
  }

  async close(): Promise<void> {
    await this.values.return(undefined);
  }

  async #advance(value: T): Promise<T> {
    this.#next = await this.values.next();
    return value;
  }
}

/** @throws LapidaryError LAP_DATA_STORE */
async function* linesOf(store: OutputStore, key: string): AsyncGenerator<unknown> {
  yield* parsedLines(store.read(await storedObject(store, key), 0));
}

/** @throws LapidaryError LAP_DATA_STORE */
export async function storedObject(store: OutputStore, key: string): Promise<StoredObject> {
  const object = await store.find(key);
  if (object !== undefined) return object;
  throw missing(key);
}

const missing = (key: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_STORE", message: `the output ${key} is missing`, location: key });

/** Requests to a store at a time. A store that is not on this machine answers slowly, and answers many at a time. */
const findsInFlight = 32;

/** The objects of many keys, in the order of the keys; undefined for each that is absent. */
export async function findObjects(store: OutputStore, keys: readonly string[]): Promise<readonly (StoredObject | undefined)[]> {
  const found: (StoredObject | undefined)[] = [];
  for (let at = 0; at < keys.length; at += findsInFlight)
    found.push(...(await Promise.all(keys.slice(at, at + findsInFlight).map((key) => store.find(key)))));
  return found;
}
