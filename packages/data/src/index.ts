// Text to batches, in this order: corpus, tokenizer (package tokenizer), dataset. README.md draws it.

export { checkCorpus } from "./corpus/check-corpus.js";
export { type CorpusSpec, corpusSpec, defaultCorpus } from "./corpus/corpus-spec.js";
export { skippedWarning } from "./corpus/skipped-warning.js";
export { Dataset, openDataset } from "./dataset/dataset.js";
export { datasetFiles } from "./dataset/manifest.js";
export { findPrepared, prepareDataset } from "./dataset/prepare.js";
export { checkRequest, type DatasetRequest, type TokenizerRequest } from "./dataset/request.js";
