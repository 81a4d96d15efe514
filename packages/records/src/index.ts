export { componentsOnDisk, nodeBytes, pairBytes } from "./components.js";
export { ExternalSort } from "./external-sort.js";
export { keepFirst } from "./keep-first.js";
export { compareRecords, copyRecord, numberAt, putNumber, type RecordStream } from "./record.js";
export { type RecordFile, RecordWriter, readRecords } from "./record-file.js";
