export { type Clock, systemClock } from "./clock.js";
export { directoryStamp } from "./directory-stamp.js";
export { type ErrorCode, type UnknownErrorCode, errorAreas, errorCodes, isErrorCode, warningCodes } from "./error-codes.js";
export { type ErrorJSON, LapidaryError, assert, errorFromJSON, isErrorJSON, ensure, assertNever } from "./errors.js";
export { ExitCode } from "./exit-code.js";
export { f32Max, fitsF32 } from "./f32.js";
export { failpointsOf } from "./failpoint-effects.js";
export {
  failpointAction,
  type FailpointAction,
  type FailpointDamage,
  type FailpointName,
  Failpoints,
  failpointActions,
  failpointDamages,
  failpointNames,
  noFailpoints,
  parseFailpoints,
} from "./failpoints.js";
export { visible, wrap } from "./visible-text.js";
export { counted, formatBytes, formatCount, formatDuration, textTable } from "./format.js";
export { type JsonValue, asJson, canonicalJson, floatOf, jsonText, parsedJson } from "./json.js";
export { makeDirectories } from "./make-directories.js";
export { nearestPath } from "./nearest-path.js";
export { raceAbort } from "./race-abort.js";
export { type Random, hash32, hashString, normalAt, seededRandom, uniformAt } from "./random.js";
export { redactSecrets, redactStrings } from "./redact.js";
export { replaceFile } from "./replace-file.js";
export { syncDirectory } from "./sync-directory.js";
export { distrustOf } from "./trusted-module.js";
export { maxSocketPathBytes, socketPathFor } from "./socket-path.js";
export { editDistance, suggest } from "./suggest.js";
export { type SystemError, isSystemError, systemError, typedSystemError } from "./system-error.js";
export type { Warning, WarningJSON } from "./warning.js";
