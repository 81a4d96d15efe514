export { type ComponentOptions, componentsOnDisk, nodeBytes, pairBytes } from "./components.js";
export { ExternalSort, type SortOptions } from "./external-sort.js";
export { joinRanks, type KeepOptions, keepFirst } from "./keep-first.js";
export { mergeRecords } from "./merge.js";
export { compareRecords, copyRecord, mapRecords, numberAt, putNumber, type RecordStream, sortRecords } from "./record.js";
export { type RecordFile, RecordWriter, readRecords, recordFile } from "./record-file.js";
