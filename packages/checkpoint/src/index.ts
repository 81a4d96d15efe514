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
export { type Disk, type DiskFiles, checksumsOf, nodeDisk, nodeDiskWith } from "./disk.js";
export { Ledger, firstDigest, readLedger } from "./ledger.js";
export { type Manifest, manifestName, parseManifest, printManifest } from "./manifest.js";
export { type SharedMemory, nativeDisk } from "./native-disk.js";
export { type Fence, RunFence } from "./run-fence.js";
