import type { FunctionNames } from "./load-library.js";
import type { NativeId } from "./native-id.js";
import { encodeSegments } from "./segments.js";

/** A staging buffer that this process has mapped. */
export type StagingId = NativeId<"staging">;
/** The locations of some blocks in a staging buffer. */
export type ScatterId = NativeId<"scatter">;

/** Memory with a file that other processes of this machine can map. */
export interface SharedFile {
  /** The file descriptor in this process. */
  readonly file: number;
  readonly memory: ArrayBuffer;
}

/** The exports of the kernels library for staging buffers (Linux only). */
export interface StagingFunctions {
  /** Maps a file of exactly `bytes` bytes. @returns undefined if the file does not exist */
  openStaging(path: string, bytes: number): StagingId | undefined;
  /** @param code of `encodeScatter` */
  registerScatter(staging: StagingId, code: Float64Array): ScatterId;
  /** The share of each block of the last write in the checksum of its array; 0 for blocks without `checksumOf`. */
  checksumShares(scatter: ScatterId): number[];
  closeStaging(staging: StagingId, scatters: Float64Array): void;
  /** @returns undefined if the allocation fails */
  share(bytes: number): SharedFile | undefined;
  /** Maps the memory of another process. @returns undefined if the file does not exist */
  view(path: string, bytes: number): ArrayBuffer | undefined;
}

export const stagingFunctions: FunctionNames<StagingFunctions> = {
  openStaging: true,
  registerScatter: true,
  checksumShares: true,
  closeStaging: true,
  share: true,
  view: true,
};

/** Bytes of a staging buffer in the order of a block: segments of one length, at a stride for each outer dim. */
interface ByteSegments {
  readonly first: number;
  readonly length: number;
  readonly counts: readonly number[];
  readonly strides: readonly number[];
}

/** The location of a block. */
export interface StagedBlock {
  readonly segments: ByteSegments;
  /**
   * The whole array in the staging buffer, if its checksum is requested. The length of a segment is then a multiple of
   * `kSegmentBlock` of cpp/common/checksum.h.
   */
  readonly checksumOf?: { readonly begin: number; readonly bytes: number } | undefined;
}

/** The numbers that `registerScatter` reads. */
export const encodeScatter = (blocks: readonly StagedBlock[]): Float64Array =>
  Float64Array.from(
    blocks.flatMap(({ checksumOf, segments: { first, ...segments } }) => [
      checksumOf?.begin ?? 0,
      checksumOf?.bytes ?? 0,
      ...encodeSegments({ bases: [first], ...segments }),
    ]),
  );
