export { Account, type AccountCounts, checkAccount, type FileError, mergeAccounts } from "./account.js";
export { ObjectStore, objectKey, type StageKey, type StoredObject, type StoredPart } from "./object-store.js";
export { type DroppedExample, maxExamples, smallestExamples } from "./examples.js";
export { binOf, type Histogram } from "./histogram.js";
