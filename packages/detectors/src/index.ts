export { maskedExcerpt } from "./finding.js";
export { type IdentityOptions, findMistakenIdentity } from "./identity.js";
export { MinHashIndex } from "./min-hash.js";
export { type EvaluationText, isShort, OverlapIndex } from "./overlap.js";
export { findPii, type PiiKind } from "./pii.js";
export { chooseThreshold, type ClassifierQuality, type LabelledText, TextClassifier, trainClassifier } from "./text-classifier.js";
export { type Lexicon, UnsafeDetector } from "./unsafe.js";
