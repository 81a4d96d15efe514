export { measureText } from "./measures.js";
export { presets } from "./presets.js";
export { droppedBy } from "./rules.js";
export { patternWords, whitespaceWords } from "./words.js";
