/** Types of directories of one user; `private-directory.mjs` is the code. */

export interface PrivateDirectory {
  /**
   * `private`: it was closed to others, or is new; `closed`: it was open and is closed now; `open`: it is open, and also has other contents;
   * `unclosable`: its file system does not store permissions; `foreign`: it belongs to another user.
   */
  readonly state: "private" | "closed" | "open" | "unclosable" | "foreign";
  /** The mode before the call. */
  readonly mode: number;
  /** The id of its owner. */
  readonly owner: number;
}

export interface PrivateDirectoryOptions {
  /** Whether an entry was written by Lapidary; by default the entries of a state directory. */
  readonly isOurs?: (name: string) => boolean;
  /** The bits of the mode that must be off; by default those of group and others. */
  readonly forbidden?: number;
  /** The user; by default the user of this process. */
  readonly uid?: number | undefined;
}

/** Makes a directory that only its owner can enter, and closes an existing directory that only Lapidary uses. */
export function makePrivate(path: string, options?: PrivateDirectoryOptions): PrivateDirectory;

/** Whether Lapidary writes this name into a state directory. */
export function isHomeEntry(name: string): boolean;
