import { join } from "node:path";
import { readTokenizer, readTokenizerFiles, type TextTokenizer, type TokenizerFiles } from "@lapidary/tokenizer";
import { datasetFiles } from "./manifest.js";

/** The directory of a prepared dataset, and its tokenizer. */
export class PreparedDirectory {
  readonly directory: string;
  #tokenizer: TextTokenizer | undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Read at the first use, because a worker that only trains does not use it. */
  get tokenizer(): TextTokenizer {
    this.#tokenizer ??= readTokenizer(join(this.directory, datasetFiles.tokenizer)).tokenizer;
    return this.#tokenizer;
  }

  /** The files of the tokenizer, for checkpoints. */
  get tokenizerFiles(): TokenizerFiles {
    return readTokenizerFiles(join(this.directory, datasetFiles.tokenizer));
  }
}
