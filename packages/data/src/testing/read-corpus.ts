import { ok } from "node:assert/strict";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { Workspace } from "@lapidary/tokenizer/testing";
import type { Corpus } from "../corpus/document.js";
import { listCorpusFiles } from "../corpus/list-files.js";
import { readPathCorpus } from "../corpus/path-corpus.js";

/** The corpus of a file or directory. */
export const readCorpus = (path: string, textField = "text"): Corpus => readPathCorpus(path, listCorpusFiles(path), { textField });

export const sourcesOf = (corpus: Corpus): string[] => corpus.documents.map(({ source }) => source);

/** Reads corpora that are single files. */
export class CorpusFiles extends Workspace {
  /** The texts of the documents of a file. */
  texts(name: string, content: string | Uint8Array): string[] {
    return readCorpus(join(this.folder({ [name]: content }), name)).documents.map(({ text }) => text);
  }

  /** The error of a file that cannot be read. */
  refusal(name: string, content: string | Uint8Array): LapidaryError {
    try {
      this.texts(name, content);
    } catch (error) {
      ok(error instanceof LapidaryError, String(error));
      return error;
    }
    throw new Error(`${name} was read`);
  }
}
