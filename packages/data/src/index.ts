export { SpecialToken } from "./tokenizer/vocabulary.js";
export { type DecodeOptions, StreamDecoder, Tokenizer, type TokenizerJSON, type TokenizerParts } from "./tokenizer/tokenizer.js";
export { type TrainTokenizerOptions, trainTokenizer } from "./tokenizer/train.js";
export { tokenizerFromJSON, tokenizerSchema } from "./tokenizer/tokenizer-json.js";
export { type HuggingFaceTokenizerFiles, toHuggingFace } from "./tokenizer/hugging-face.js";
