/** Directories that belong to one user, for TypeScript; `private-directory.mjs` is the code. */

export interface PrivateDirectory {
  /**
   * `private`: it was closed to others, or is new; `closed`: it was open and is closed now; `open`: it is open, and holds other things as well;
   * `unclosable`: its file system keeps no permissions; `foreign`: it belongs to another user.
   */
  readonly state: "private" | "closed" | "open" | "unclosable" | "foreign";
  /** The mode that it had. */
  readonly mode: number;
  /** The id of its owner. */
  readonly owner: number;
}

export interface PrivateDirectoryOptions {
  /** Whether an entry was written by Lapidary; by default the entries of a home directory. */
  readonly isOurs?: (name: string) => boolean;
  /** The bits of the mode that must be off; by default those of group and others. */
  readonly forbidden?: number;
  /** The user; by default the user of this process. */
  readonly uid?: number | undefined;
}

/** Makes a directory that only its owner can enter, and closes an existing one that is Lapidary's alone. */
export function makePrivate(path: string, options?: PrivateDirectoryOptions): PrivateDirectory;

/** Whether a name is one that Lapidary writes into a home directory. */
export function isHomeEntry(name: string): boolean;
