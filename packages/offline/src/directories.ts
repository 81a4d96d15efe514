/** The directories that a command works in; all paths are absolute. */
export interface Directories {
  /** The base of relative paths that the user gave. */
  readonly cwd: string;
  /** The project: configs, tools and packages. */
  readonly root: string;
  /** The state directory: runs, caches and plans. */
  readonly home: string;
}
