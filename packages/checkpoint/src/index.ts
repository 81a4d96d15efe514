export { EpochStaleError } from "./checkpoint-errors.js";
export {
  type CheckpointContent,
  type CheckpointParts,
  CheckpointStore,
  type VerifiedCheckpoint,
  readManifest,
  stepsIn,
  verifyCheckpoint,
} from "./checkpoint-store.js";
export { type Disk, checksumsOf, nodeDisk, nodeDiskWith } from "./disk.js";
export { batchOfStep, StepLog, firstDigest, readStepLog } from "./step-log.js";
export { type Manifest, manifestName, parseManifest, printManifest } from "./manifest.js";
export { type SharedMemory, nativeDisk } from "./native-disk.js";
export { type Fence, RunFence } from "./run-fence.js";
export type { DiskFiles } from "./disk-files.js";
