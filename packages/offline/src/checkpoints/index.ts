/** Checkpoints on disk, of runs and of Hugging Face: `@lapidary/offline/checkpoints`. */
export { readForExport } from "./export-checkpoint.js";
export { type CheckpointContents, inspectCheckpoint } from "./inspect-checkpoint.js";
export { listCheckpoints, type ListedCheckpoint } from "./list-checkpoints.js";
export { type CheckpointLocation, resolveCheckpoint } from "./resolve-checkpoint.js";
export { type VerifiedCheckpoint, verifyCheckpoint } from "./verify-checkpoint.js";
