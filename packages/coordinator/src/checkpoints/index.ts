export { type CheckpointContent, CheckpointStore, readManifest, verifyCheckpoint, type VerifiedCheckpoint } from "./checkpoint-store.js";
export { type Disk, nodeDisk } from "./disk.js";
export { type Manifest, manifestName } from "./manifest.js";
