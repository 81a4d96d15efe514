export { addPair, componentsOnDisk, forEachStarEdge, nodeBytes, pairBytes } from "./components.js";
export { ExternalSort } from "./external-sort.js";
export { compareRecords, copyRecord, numberAt, putNumber, type RecordStream } from "./record.js";
export { type RecordFile, RecordWriter, readRecords } from "./record-file.js";
