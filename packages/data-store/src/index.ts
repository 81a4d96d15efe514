export { Account, type AccountCounts, checkAccount, type FileError, mergeAccounts } from "./account.js";
export { ObjectStore } from "./object-store.js";
export { type S3Address, S3Store } from "./s3-store.js";
export { objectKey, type OutputStore, type StageKey, type StoredObject, type StoredPart } from "./stored-object.js";
export { type DroppedExample, maxExamples, smallestExamples } from "./examples.js";
export { binOf, type Histogram } from "./histogram.js";
export type { LimitCounts } from "./limit-counts.js";
