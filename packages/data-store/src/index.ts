export { Account, type AccountCounts, checkAccount, type FileError, mergeAccounts } from "./account.js";
export { ObjectStore } from "./object-store.js";
export { openStore } from "./open-store.js";
export type { S3Access, S3Address } from "./s3-client.js";
export type { Registration } from "./registration.js";
export { S3Source } from "./s3-source.js";
export { S3Store } from "./s3-store.js";
export { isS3, s3AccessOf, type StoreAccess } from "./store-access.js";
export {
  objectKey,
  type OutputStore,
  type StageKey,
  type StoredObject,
  type StoredPart,
  type StoredSize,
} from "./stored-object.js";
export { type DroppedExample, maxExamples, smallestExamples } from "./examples.js";
export { binOf, type Histogram } from "./histogram.js";
export type { LimitCounts } from "./limit-counts.js";
