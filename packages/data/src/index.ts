// Text to batches, in this order: corpus, tokenizer (package tokenizer), dataset; then examples for post-training. README.md draws both.

export { checkCorpus } from "./corpus/check-corpus.js";
export { type CorpusSpec, corpusSpec, defaultCorpus } from "./corpus/corpus-spec.js";
export { skippedWarning } from "./corpus/skipped-warning.js";
export { Dataset } from "./dataset/dataset.js";
export { datasetFiles } from "./dataset/manifest.js";
export { type AnyDataset, openDataset } from "./dataset/open-dataset.js";
export { findPrepared, type PrepareWork, prepareDataset, prepareMixture, prepareRows } from "./dataset/prepare.js";
export { checkRequest, type DatasetRequest, type TokenizerRequest } from "./dataset/request.js";
export { byteTokenizer, byteTokenizerOf, type ChatTokenizer, chatTokenizer } from "./examples/chat-tokenizer.js";
export { encodeDialogue } from "./examples/encode-dialogue.js";
export { type Document, type EncodedPair, encodeExamples, encodeForTuning, encodePair, encodePrompt } from "./examples/encode.js";
export type { Example, PromptExample, RefusedRow, Turn } from "./examples/example.js";
export {
  contaminationFilter,
  duplicateFilter,
  evaluationTexts,
  type ExampleFilter,
  filterExamples,
  type FilterName,
  filterNames,
  type FilterReport,
  identityFilter,
  piiFilter,
  schemaFilter,
  unsafeFilter,
} from "./examples/filters.js";
export { heldOutPrompt, lastText } from "./examples/held-out-prompt.js";
export { labelledTexts } from "./examples/labelled-texts.js";
export { mixtureOf, mixtureSources } from "./examples/mixture.js";
export type { FormatName } from "./examples/formats.js";
export { type ExampleFile, formatNamed, readExamples, requireExamples, rowTexts } from "./examples/read-examples.js";
export { showRow, shownTokens } from "./examples/show-row.js";
export { endAnswer, promptOfUser, renderDialogue } from "./examples/template.js";
export { type PreferenceBatch, preferenceBatch, promptBatch, trainingBatch, trainingRow } from "./examples/training-batch.js";
export { TrainingOrder } from "./examples/training-order.js";
export { type HeldoutSource, MixtureDataset } from "./mixed/mixture-dataset.js";
export { sampleDocuments } from "./mixed/sample-documents.js";
export { findDocuments, type PlacedDocument, placedDocuments, rowsOfBatch, rowsWith } from "./mixed/trace-documents.js";
export type { MixtureRequest } from "./mixed/mixture-request.js";
export { checkExampleFile } from "./rows/check-example-file.js";
export { ExampleSet, type TextPrompt } from "./rows/example-set.js";
export { readPairs, readPrompts } from "./rows/read-example-set.js";
export { RowDataset } from "./rows/row-dataset.js";
export type { RowsRequest } from "./rows/rows-request.js";
export { templateTurns } from "./examples/turns.js";
