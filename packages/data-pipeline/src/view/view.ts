import type { ShardFile } from "../plan/shard.js";

/** A document as the stages before left it. */
export interface ViewDocument {
  /** The place in the object of documents, from 0. Edits and columns refer to it. */
  readonly row: number;
  readonly id: string;
  /** The identifier that the file gives. */
  readonly name: string;
  readonly file: string;
  /** The place in the file, such as `line 3`. */
  readonly place: string;
  readonly html: boolean;
  readonly text: string;
  /** The measures so far. A number is NaN if the measure has no value for this text. */
  readonly values: Readonly<Record<string, Value>>;
}

export type Value = number | string;

/** One shard as a stage sees it. */
export interface ShardView {
  readonly source: string;
  /** For messages and progress: `web/3`. */
  readonly name: string;
  /** The files of the shard on this machine, each until the next one is asked for; only the stage `read` opens them. */
  files(): AsyncIterable<ShardFile> | Iterable<ShardFile>;
  /** The measures so far, and the columns of every document. */
  readonly columns: ReadonlyMap<string, "number" | "text">;
  /** Ids of documents that end the process of this stage. It drops them with the reason `kills the stage`. */
  readonly setAside: ReadonlySet<string>;
  /** The documents that no stage dropped so far, in the order of rows. */
  documents(): AsyncGenerator<ViewDocument>;
}

/** What a stage does with one document. A document without an edit stays as it is. */
export type Edit =
  | { readonly row: number; readonly drop: string }
  | { readonly row: number; readonly text: string }
  /** UTF-16 offsets of what is replaced, in order, and the texts in their place. */
  | { readonly row: number; readonly replace: readonly (readonly [start: number, end: number, by: string])[] };

/** The keys of the objects that make up a view. */
export interface ViewKeys {
  readonly documents: string | undefined;
  readonly edits: readonly string[];
  readonly columns: readonly string[];
}
