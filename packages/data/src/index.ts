// Text to batches, in this order: tokenizer, corpus, dataset. README.md draws it.

export { type CorpusCheck, checkCorpus } from "./corpus/check-corpus.js";
export { type CorpusSpec, type CorpusSpecOptions, corpusSpec, defaultCorpus, defaultMaxBytes } from "./corpus/corpus-spec.js";
export { skippedText } from "./corpus/document.js";
export { skippedWarning } from "./corpus/skipped-warning.js";
export type { OnPrepareProgress, PrepareProgress, PrepareStage } from "./dataset/build.js";
export { type Batch, type BatchRequest, Dataset, openDataset } from "./dataset/dataset.js";
export { datasetFiles, type Manifest, manifestSchema, type SplitName } from "./dataset/manifest.js";
export { findPrepared, type PrepareOptions, prepareDataset } from "./dataset/prepare.js";
export { checkRequest, type DatasetRequest, type TokenizerRequest } from "./dataset/request.js";
export { type HuggingFaceTokenizerFiles, toHuggingFace } from "./tokenizer/hugging-face.js";
export { HuggingFaceTokenizer } from "./tokenizer/huggingface/hugging-face-tokenizer.js";
export {
  type ControlTokens,
  type DecodeOptions,
  decodeAfter,
  maskedToken,
  type TextStream,
  type TextTokenizer,
} from "./tokenizer/text-tokenizer.js";
export { StreamDecoder, Tokenizer, type TokenizerJSON, type TokenizerParts } from "./tokenizer/tokenizer.js";
export {
  checkpointFilesOf,
  filesOfTrained,
  hashOfTokenizer,
  hasTokenizer,
  ownTokenizerFile,
  readTokenizer,
  readTokenizerFiles,
  type StoredTokenizer,
  type TokenizerFiles,
  tokenizerFileNames,
  writeTokenizerFiles,
} from "./tokenizer/tokenizer-files.js";
export { inspectTokenizer } from "./tokenizer/inspect.js";
export { otherVocabulary, tokenizerTooLarge } from "./data-errors.js";
export { tokenizerFromJSON, tokenizerSchema } from "./tokenizer/tokenizer-json.js";
export { type TrainTokenizerOptions, trainTokenizer } from "./tokenizer/train.js";
export { firstPieceId, SpecialToken } from "./tokenizer/vocabulary.js";
