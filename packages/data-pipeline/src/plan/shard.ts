/** A file, or a range of its bytes, in a shard. */
export interface ShardFile {
  /** Absolute path. */
  readonly path: string;
  /** The name within its source. Ids depend on it. */
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Whole lines of a file that is split; `line` is the number of the first one. */
  readonly range?: { readonly start: number; readonly end: number; readonly line: number } | undefined;
}

/** 64 to 256 MB of one source: the unit of work. */
export interface Shard {
  readonly source: string;
  /** `web/3` */
  readonly name: string;
  readonly files: readonly ShardFile[];
}
