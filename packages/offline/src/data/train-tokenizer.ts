import { readTextLines, trainSentencePiece } from "@lapidary/tokenizer";
import type { Reporter } from "../reporter.js";

export interface TokenizerRequest {
  /** Text files in UTF-8; absolute. */
  readonly files: readonly string[];
  readonly vocabSize: number;
  /** The training reads the first bytes of the files, up to this number. */
  readonly maxBytes: number;
}

export interface TokenizerModel {
  /** The content of the `.model` file. */
  readonly file: Uint8Array;
  readonly ids: number;
  /** Bytes of text that were read. */
  readonly bytes: number;
}

/**
 * Trains a SentencePiece model with the settings of Gemma's tokenizer. The memory does not depend on the size of the files.
 *
 * @throws LapidaryError LAP_FILE_…, LAP_DATA_SETTING
 */
export function trainTokenizerModel(request: TokenizerRequest, reporter: Pick<Reporter, "progress">): TokenizerModel {
  let bytes = 0;
  function* texts(): Generator<string> {
    for (const path of request.files)
      for (const { text, read } of readTextLines(path, () => request.maxBytes - bytes)) {
        bytes += read;
        reporter.progress("count the words", `${Math.round(bytes / 1e6)} MB`);
        yield text;
      }
  }
  const { file, tokenizer } = trainSentencePiece(texts(), {
    vocabSize: request.vocabSize,
    onProgress: (done, total) => reporter.progress("train the tokenizer", `${done} of ${total} pieces`),
  });
  return { file, ids: tokenizer.vocabSize, bytes };
}
