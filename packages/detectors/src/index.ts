export { LanguageClassifier } from "./classification/language-classifier.js";
export { type LabelledDocument, LayoutClassifier } from "./classification/layout-classifier.js";
export {
  likeliestLabel,
  openTextModel,
  type TextFeatures,
  type TextModel,
  type TextModelFile,
  trainTextModel,
} from "./classification/text-model.js";
export { ContaminationIndex, passageText } from "./decontamination/contamination-index.js";
export { datatroveRule, janitorRule, type PublishedRule } from "./decontamination/published-rules.js";
export { maskedExcerpt } from "./finding.js";
export { type IdentityOptions, findMistakenIdentity } from "./identity.js";
export { connectedComponents, type Pair } from "./duplicates/components.js";
export { bandKeys, minHash, shinglesOf } from "./duplicates/min-hash.js";
export { MinHashIndex } from "./duplicates/min-hash-index.js";
export { plainWordScanner } from "./duplicates/plain-words.js";
export { repeatedWindows } from "./duplicates/repeated-windows.js";
export { windowAnchors, windowsAround } from "./duplicates/window-anchors.js";
export { type EvaluationText, isShort, OverlapIndex } from "./overlap.js";
export { findPii, type PiiKind } from "./pii.js";
export { chooseThreshold, type ClassifierQuality, type LabelledText, TextClassifier, trainClassifier } from "./text-classifier.js";
export { type Lexicon, UnsafeDetector } from "./unsafe.js";
