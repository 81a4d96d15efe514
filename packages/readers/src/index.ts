export { Account, type AccountCounts, checkAccount, type FileError, mergeAccounts } from "./account.js";
export { type FileFormat, formatOf, unpackedName } from "./bytes/file-format.js";
export { isZstd, unpackZstd, ZstdDictionaryError, ZstdSizeError } from "./bytes/zstd.js";
export { type FileInput, fieldOf, asObject, type SourceDocument } from "./document.js";
export { mainText } from "./html/main-text.js";
export { readFile } from "./read-file.js";
