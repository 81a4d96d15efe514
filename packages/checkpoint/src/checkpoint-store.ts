import { dirname, join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { type Failpoints, LapidaryError, assert, ensure, noFailpoints } from "@lapidary/std";
import { asWriteError, checkpointDamaged } from "./checkpoint-errors.js";
import type { Disk } from "./disk.js";
import type { DiskFiles, FilePart } from "./disk-files.js";
import { type Manifest, type ManifestFile, manifestName, maxManifestBytes, parseManifest, printManifest } from "./manifest.js";
import type { Fence } from "./run-fence.js";

/** A file of a checkpoint as named segments of bytes, which are written one after the other, with their known checksums. */
export type CheckpointParts = readonly (readonly [name: string, bytes: Uint8Array, crc32?: number | undefined])[];

export interface CheckpointContent {
  /** In the order of writing. */
  readonly files: ReadonlyMap<string, CheckpointParts>;
  readonly about: Omit<Manifest, "format" | "files" | "epoch">;
}

/** A checkpoint whose bytes were all read and are correct. */
export interface VerifiedCheckpoint {
  readonly path: string;
  readonly manifest: Manifest;
}

export interface CheckpointStoreOptions {
  readonly disk: Disk;
  /** The directory `checkpoints` of the run. */
  readonly directory: string;
  readonly fence: Fence;
  readonly failpoints?: Failpoints;
  /** Called for each superseded checkpoint, once it is deleted. */
  readonly onDeleted?: (step: number) => void;
}

/**
 * The checkpoints of a run, one directory each. After an interruption at any point, a checkpoint exists completely or not at all:
 *
 *     .writing-N/   files, all synced ─► manifest.json, synced ─► directory, synced ─► renamed to step-N/ ─► parent, synced ─► read back
 *                                                                                                              └─► older ones are removed
 *
 * Invariants: a directory without a matching manifest is not a checkpoint; the newest verified one is never removed; an attempt that was superseded
 * renames nothing.
 */
export class CheckpointStore {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #fence: Fence;
  readonly #failpoints: Failpoints;
  readonly #onDeleted: (step: number) => void;
  #hasSyncedAncestors = false;

  constructor({ disk, directory, fence, failpoints, onDeleted }: CheckpointStoreOptions) {
    this.#disk = disk;
    this.#directory = directory;
    this.#fence = fence;
    this.#failpoints = failpoints ?? noFailpoints;
    this.#onDeleted = onDeleted ?? (() => undefined);
  }

  /**
   * Writes a checkpoint and reads it back. Then removes all but the newest `keep`.
   *
   * @throws LAP_CHECKPOINT_WRITE if the disk fails: earlier checkpoints are complete; LAP_CHECKPOINT_DAMAGED if the bytes that are read back differ from
   * the written ones; LAP_EPOCH_STALE
   */
  async write({ files, about }: CheckpointContent, keep: number): Promise<VerifiedCheckpoint> {
    assert(keep >= 1, "at least one checkpoint is kept", keep);
    const { step } = about;
    const place = this.#placeOf(step);
    const draft = join(this.#directory, `.writing-${step}-${this.#fence.epoch}`);
    this.#fence.check();
    // Only this attempt adds checkpoints until it is superseded.
    const steps = await this.#steps();
    const isThere = steps.includes(step);
    const there = isThere ? await this.#reusableManifest(place, about) : undefined;
    if (there !== undefined) return { path: place, manifest: there };
    let manifest: Manifest;
    try {
      manifest = {
        format: "lapidary-checkpoint/1",
        ...about,
        epoch: this.#fence.epoch,
        files: await this.#writeFiles(draft, files, step),
      };
      this.#failpoints.hit("before-manifest", step, "c");
      const parts: CheckpointParts = [["manifest", Buffer.from(printManifest(manifest))]];
      const sealed = await this.#writeFiles(draft, new Map([[manifestName, parts]]), undefined);
      await this.#disk.syncDirectory(draft);
      this.#failpoints.hit("after-manifest", step, "c");
      this.#fence.check();
      if (isThere) await this.#discard(place);
      await this.#disk.rename(draft, place);
      await this.#disk.syncDirectory(this.#directory);
      await this.#syncAncestors();
      await readBack(this.#disk, place, { ...manifest.files, ...sealed });
    } catch (error) {
      await this.#disk.remove(draft).catch(() => undefined);
      throw asWriteError(place, error);
    }
    const older = steps.filter((one) => one < step);
    for (const one of older.slice(0, Math.max(0, older.length - (keep - 1)))) {
      await this.#discard(this.#placeOf(one));
      this.#onDeleted(one);
    }
    return { path: place, manifest };
  }

  /** Whether a step has a checkpoint, complete or damaged. */
  async has(step: number): Promise<boolean> {
    return (await this.#steps()).includes(step);
  }

  /**
   * The newest checkpoint, up to step `limit`, whose bytes are all correct.
   *
   * @param onDamaged called for each newer one that was rejected, with the reason
   */
  async newest(
    onDamaged: (error: LapidaryError, step: number) => void,
    limit = Number.POSITIVE_INFINITY,
  ): Promise<VerifiedCheckpoint | undefined> {
    for (const step of (await this.#steps()).reverse()) {
      if (step > limit) continue;
      const path = this.#placeOf(step);
      try {
        return { path, manifest: await verifyCheckpoint(this.#disk, path) };
      } catch (error) {
        onDamaged(error instanceof LapidaryError ? error : checkpointDamaged(path, "directory", String(error), error), step);
      }
    }
    return undefined;
  }

  /** Removes incomplete directories of earlier attempts. */
  async sweep(): Promise<void> {
    this.#fence.check();
    for (const name of await this.#disk.list(this.#directory)) {
      const epoch = /^\.(?:writing|removed)-.*-(\d+)$/.exec(name)?.[1];
      if (epoch !== undefined && Number(epoch) < this.#fence.epoch) await this.#disk.remove(join(this.#directory, name));
    }
  }

  /** Syncs the directories above too: otherwise a power cut could remove the directory of all checkpoints. */
  async #syncAncestors(): Promise<void> {
    if (this.#hasSyncedAncestors) return;
    let path = this.#directory;
    for (let level = 0; level < 3 && dirname(path) !== path; level++) {
      path = dirname(path);
      await this.#disk.syncDirectory(path);
    }
    this.#hasSyncedAncestors = true;
  }

  /** A repeated step has the same state. Its existing checkpoint is valid, and replacing it would only put it at risk. */
  async #reusableManifest(place: string, about: CheckpointContent["about"]): Promise<Manifest | undefined> {
    try {
      const manifest = await verifyCheckpoint(this.#disk, place);
      return manifest.ledger === about.ledger && manifest.program === about.program ? manifest : undefined;
    } catch (error) {
      if (error instanceof LapidaryError) return undefined;
      throw error;
    }
  }

  /**
   * Writes files, and then syncs them together, which costs one journal commit of the file system.
   *
   * @param step the step for failpoints; undefined: none
   */
  async #writeFiles(draft: string, content: CheckpointContent["files"], step: number | undefined): Promise<Manifest["files"]> {
    const names = [...content.keys()];
    const parts = [...content.values()].map((ofFile) => ofFile.map(([, bytes, crc32]): FilePart => ({ bytes, crc32 })));
    const files = await this.#disk.create(draft, names);
    // The files are closed after success and failure.
    let sums: readonly (readonly number[])[];
    try {
      sums = await (step === undefined ? files.write(parts) : this.#writeHalves(files, parts, step));
      await files.sync();
      if (step !== undefined) for (const _ of names) this.#failpoints.hit("shard-synced", step, "c");
    } finally {
      await files.close();
    }
    return Object.fromEntries([...content].map(([name, ofFile], i) => [name, describe(ofFile, ensure(sums[i], name))]));
  }

  /** @returns the checksums of the bytes to write */
  async #writeHalves(files: DiskFiles, parts: readonly (readonly FilePart[])[], step: number): Promise<readonly (readonly number[])[]> {
    const half = (length: number): number => Math.ceil(length / 2);
    const first = await files.write(parts.map((ofFile) => ofFile.slice(0, half(ofFile.length))));
    const rest = parts.map((ofFile) => {
      const secondHalf = ofFile.slice(half(ofFile.length));
      // The damage changes the bytes on disk, not the manifest.
      const isDamaged = secondHalf.length > 0 && this.#failpoints.hit("shard-half-written", step, "c");
      return isDamaged
        ? secondHalf.map(({ bytes, crc32: known }) => ({ bytes: flipped(bytes), crc32: known ?? crc32(bytes) }))
        : secondHalf;
    });
    const second = await files.write(rest);
    return first.map((sums, i) => [...sums, ...ensure(second[i], "checksums")]);
  }

  /** Renames a checkpoint in one operation, then removes it, so that an incomplete one is never visible. */
  async #discard(place: string): Promise<void> {
    const removed = join(this.#directory, `.removed-${place.slice(this.#directory.length + 1)}-${this.#fence.epoch}`);
    try {
      await this.#disk.rename(place, removed).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
        // A checkpoint whose removal failed before.
        await this.#disk.remove(removed);
        await this.#disk.rename(place, removed);
      });
    } catch (error) {
      // Another process removed it.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await this.#disk.remove(removed);
  }

  async #steps(): Promise<number[]> {
    return stepsIn(await this.#disk.list(this.#directory));
  }

  #placeOf(step: number): string {
    return join(this.#directory, `step-${step}`);
  }
}

/** Steps that have a checkpoint in a directory of checkpoints, ascending. */
export function stepsIn(names: readonly string[]): number[] {
  return names
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * Reads only the manifest of a checkpoint.
 *
 * @throws LAP_CHECKPOINT_DAMAGED
 */
export async function readManifest(disk: Disk, path: string): Promise<Manifest> {
  const file = join(path, manifestName);
  const size = await disk.size(file);
  if (size === undefined) throw checkpointDamaged(path, manifestName, "it is missing");
  if (size > maxManifestBytes) throw checkpointDamaged(path, manifestName, `it has ${size} bytes`);
  const bytes = ensure(await disk.read(file), manifestName);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw checkpointDamaged(path, manifestName, "it is not UTF-8", error);
  }
  return parseManifest(text, path);
}

/**
 * Reads every byte of a checkpoint.
 *
 * @throws LAP_CHECKPOINT_DAMAGED naming the damaged file, and the tensor in it
 */
export async function verifyCheckpoint(disk: Disk, path: string): Promise<Manifest> {
  const manifest = await readManifest(disk, path);
  for (const [name, file] of Object.entries(manifest.files)) {
    const size = await disk.size(join(path, name));
    if (size === undefined) throw checkpointDamaged(path, name, "it is missing");
    if (size !== file.bytes) throw checkpointDamaged(path, name, `it has ${size} bytes instead of ${file.bytes}`);
    if (file.parts.reduce((sum, { bytes }) => sum + bytes, 0) !== file.bytes)
      throw checkpointDamaged(path, name, "its parts have fewer or more bytes than the file");
    await readBack(disk, path, { [name]: file });
  }
  return manifest;
}

/** Reads files and compares their parts. */
async function readBack(disk: Disk, path: string, files: Manifest["files"]): Promise<void> {
  const read = await disk.checksums(
    path,
    new Map(Object.entries(files).map(([name, { parts }]) => [name, parts.map(({ bytes }) => bytes)])),
  );
  for (const [i, [name, { parts }]] of Object.entries(files).entries()) {
    const sums = ensure(read[i], name);
    parts.forEach(({ name: tensor, crc32: wanted }, j) => {
      const sum = sums[j];
      if (sum === undefined) throw checkpointDamaged(path, name, "it ends too early");
      if (hexCrc(sum) !== wanted) throw checkpointDamaged(path, `${name}: ${tensor}`, "its bytes have changed");
    });
    if (sums.length > parts.length) throw checkpointDamaged(path, name, "it is longer than its parts");
  }
}

/** The entry of a file in the manifest. */
function describe(parts: CheckpointParts, sums: readonly number[]): ManifestFile {
  const described = parts.map(([name, { length }], i) => ({ name, bytes: length, crc32: hexCrc(ensure(sums[i], "checksum")) }));
  return { bytes: described.reduce((sum, { bytes }) => sum + bytes, 0), parts: described };
}

const hexCrc = (sum: number): string => sum.toString(16).padStart(8, "0");

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (copy.length > 0) copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}
