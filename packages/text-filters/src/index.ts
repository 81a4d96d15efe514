export { c4Text } from "./c4.js";
export { type MeasureName, TextMeter } from "./measures.js";
export { presets } from "./presets.js";
export { droppedBy } from "./rules.js";
export { patternWords, type WordSplitter, whitespaceWords } from "./words.js";
export { isPunctuation } from "./punctuation.js";
export { normalizedNumbers, splitSpaces } from "./python-text.js";
