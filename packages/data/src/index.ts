// Text to batches, in this order: tokenizer, corpus, dataset. README.md draws it.

export { checkCorpus } from "./corpus/check-corpus.js";
export { type CorpusSpec, corpusSpec, defaultCorpus } from "./corpus/corpus-spec.js";
export { skippedWarning } from "./corpus/skipped-warning.js";
export { Dataset, openDataset } from "./dataset/dataset.js";
export { datasetFiles } from "./dataset/manifest.js";
export { findPrepared, prepareDataset } from "./dataset/prepare.js";
export { checkRequest, type DatasetRequest, type TokenizerRequest } from "./dataset/request.js";
export {
  type ControlTokens,
  decodeAfter,
  maskedToken,
  type TextTokenizer,
} from "./tokenizer/text-tokenizer.js";
export {
  checkpointFilesOf,
  filesOfTrained,
  hashOfTokenizer,
  hasTokenizer,
  ownTokenizerFile,
  readTokenizer,
  readTokenizerFiles,
  type TokenizerFiles,
  tokenizerFileNames,
} from "./tokenizer/tokenizer-files.js";
export { inspectTokenizer } from "./tokenizer/inspect.js";
export { otherVocabulary, tokenizerTooLarge } from "./data-errors.js";
export { trainTokenizer } from "./tokenizer/train.js";
export { firstPieceId } from "./tokenizer/vocabulary.js";
