export { type FileFormat, formatOf, unpackedName } from "./bytes/file-format.js";
export { isZstd, unpackZstd, ZstdDictionaryError, ZstdSizeError } from "./bytes/zstd.js";
export { asObject, type FileInput, fieldOf, type SourceDocument } from "./document.js";
export { mainText } from "./html/main-text.js";
export { readFile } from "./read-file.js";
export { readTree, type TreeInput } from "./read-tree.js";
export { byCodeUnits, unreadable, walkFiles } from "./walk.js";
