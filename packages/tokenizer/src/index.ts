// Text to ids and back. README.md lists the files.

export {
  type ControlTokens,
  decodeAfter,
  maskedToken,
  type TextTokenizer,
} from "./text-tokenizer.js";
export {
  checkpointFilesOf,
  filesOfTrained,
  hashOfTokenizer,
  hasTokenizer,
  ownTokenizerFile,
  tokenizerPaths,
  readTokenizer,
  readTokenizerFiles,
  type TokenizerFiles,
  tokenizerFileNames,
  writeTokenizerFiles,
} from "./tokenizer-files.js";
export { firstIssue } from "./tokenizer-json.js";
export { inspectTokenizer } from "./inspect.js";
export { withTurnTokens } from "./turn-tokens.js";
export { otherVocabulary, tokenizerTooLarge } from "./tokenizer-errors.js";
export { SentencePieceTokenizer } from "./sentencepiece/sentencepiece-tokenizer.js";
export { asUnigram } from "./sentencepiece/unigram-model.js";
export { readTextLines } from "./sentencepiece/training/read-text-lines.js";
export { SentencePieceTrainer, trainSentencePiece } from "./sentencepiece/training/train-sentencepiece.js";
export { trainTokenizer } from "./train.js";
export { checkVocabSize, firstPieceId, SpecialToken } from "./vocabulary.js";
