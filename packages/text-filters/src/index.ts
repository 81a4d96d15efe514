export { TextMeter } from "./measures.js";
export { presets } from "./presets.js";
export { droppedBy } from "./rules.js";
export { patternWords, whitespaceWords, type WordSplitter } from "./words.js";
export { isPunctuation } from "./punctuation.js";
export { normalizedNumbers, splitSpaces } from "./python-text.js";
