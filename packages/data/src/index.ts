// Text to batches, in this order: tokenizer, corpus, dataset. README.md draws it.

export { checkCorpus } from "./corpus/check-corpus.js";
export { type CorpusSpec, type CorpusSpecOptions, corpusSpec, defaultCorpus, defaultMaxBytes } from "./corpus/corpus-spec.js";
export { leftOutText } from "./corpus/document.js";
export type { OnPrepareProgress, PrepareProgress, PrepareStage } from "./dataset/build.js";
export { type Batch, type BatchRequest, Dataset, openDataset } from "./dataset/dataset.js";
export { datasetFiles, type Manifest, manifestSchema, type SplitName } from "./dataset/manifest.js";
export { type PrepareOptions, prepareDataset } from "./dataset/prepare.js";
export type { DatasetRequest } from "./dataset/request.js";
export { type HuggingFaceTokenizerFiles, toHuggingFace } from "./tokenizer/hugging-face.js";
export { type DecodeOptions, StreamDecoder, Tokenizer, type TokenizerJSON, type TokenizerParts } from "./tokenizer/tokenizer.js";
export { tokenizerFromJSON, tokenizerSchema } from "./tokenizer/tokenizer-json.js";
export { type TrainTokenizerOptions, trainTokenizer } from "./tokenizer/train.js";
export { SpecialToken } from "./tokenizer/vocabulary.js";
