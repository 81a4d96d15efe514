import { join } from "node:path";
import { Account, type AccountCounts } from "@lapidary/data-store";
import type { FileInput, SourceDocument } from "./document.js";
import { readFile } from "./read-file.js";
import { walkFiles } from "./walk.js";

/** A directory to read, and how its files are read. */
export interface TreeInput extends Omit<FileInput, "path" | "file"> {
  /** Absolute path of the directory. */
  readonly root: string;
  /** The account of a file, after its last document. */
  readonly onFile: (file: string, counts: AccountCounts) => void;
}

/**
 * The documents of all files below a directory, in an order that does not depend on the machine. Names with a leading dot,
 * `node_modules` and symbolic links are not part of it.
 *
 * @throws LapidaryError `LAP_DATA_UNREADABLE` if a directory cannot be read, `LAP_DATA_ACCOUNT`
 */
export async function* readTree({ root, onFile, ...how }: TreeInput): AsyncGenerator<SourceDocument> {
  for (const file of walkFiles(root, (directory) => !/(^|\/)node_modules$/.test(directory))) {
    const account = new Account();
    yield* readFile({ ...how, path: join(root, file), file }, account);
    onFile(file, account.counts(file));
  }
}
