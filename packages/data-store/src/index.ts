export { Account, type AccountCounts, checkAccount, type FileError, mergeAccounts } from "./account.js";
export { ObjectStore, objectKey, type StageKey, type StoredObject, type StoredPart } from "./object-store.js";
