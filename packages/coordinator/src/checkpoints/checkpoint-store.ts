import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { type Failpoints, LapidaryError, assert, must, noFailpoints } from "@lapidary/std";
import { asWriteError, checkpointDamaged } from "./checkpoint-errors.js";
import type { Disk } from "./disk.js";
import { type Manifest, type ManifestFile, manifestName, maxManifestBytes, parseManifest, printManifest } from "./manifest.js";
import type { Fence } from "./run-fence.js";

/** A file of a checkpoint, as named stretches of bytes: they are written one after the other. */
export type CheckpointParts = Iterable<readonly [name: string, bytes: Uint8Array]>;

export interface CheckpointContent {
  /** In the order in which they are written. */
  readonly files: ReadonlyMap<string, CheckpointParts>;
  readonly about: Omit<Manifest, "format" | "files" | "epoch">;
}

/** A checkpoint of which every byte was read and is what was written. */
export interface VerifiedCheckpoint {
  readonly path: string;
  readonly manifest: Manifest;
}

export interface CheckpointStoreOptions {
  readonly disk: Disk;
  /** `checkpoints` of the run. */
  readonly directory: string;
  readonly fence: Fence;
  readonly failpoints?: Failpoints;
}

/**
 * The checkpoints of a run, one directory each. A checkpoint is there or it is not, whatever is cut off when:
 *
 *     .writing-N/   files, each synced ─► manifest.json, synced ─► directory, synced ─► renamed to step-N/ ─► parent, synced ─► read back
 *                                                                                                              └─► only now older ones go
 *
 * Invariants: a directory without a manifest that fits is no checkpoint; the newest verified one is never removed; an attempt that was superseded
 * renames nothing.
 */
export class CheckpointStore {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #fence: Fence;
  readonly #failpoints: Failpoints;
  #anchored = false;

  constructor({ disk, directory, fence, failpoints }: CheckpointStoreOptions) {
    this.#disk = disk;
    this.#directory = directory;
    this.#fence = fence;
    this.#failpoints = failpoints ?? noFailpoints;
  }

  /**
   * Writes a checkpoint, and when it was read back whole removes all but the newest `keep`.
   *
   * @throws LAP_CHECKPOINT_WRITE when the disk refuses: earlier checkpoints are whole; LAP_CHECKPOINT_DAMAGED when what was written is not what is
   * read back; LAP_EPOCH_STALE
   */
  async write({ files, about }: CheckpointContent, keep: number): Promise<VerifiedCheckpoint> {
    const { step } = about;
    const place = this.#placeOf(step);
    const draft = join(this.#directory, `.writing-${step}-${this.#fence.epoch}`);
    this.#fence.check();
    const there = await this.#alreadyThere(place, about);
    if (there !== undefined) return { path: place, manifest: there };
    try {
      await this.#disk.makeDirectory(draft);
      const written: [string, ManifestFile][] = [];
      for (const [name, parts] of files) written.push([name, await this.#writeFile(join(draft, name), parts, step)]);
      this.#failpoints.hit("before-manifest", step, "c");
      const manifest: Manifest = {
        format: "lapidary-checkpoint/1",
        ...about,
        epoch: this.#fence.epoch,
        files: Object.fromEntries(written),
      };
      await this.#writeFile(join(draft, manifestName), [["manifest", Buffer.from(printManifest(manifest))]], step);
      await this.#disk.syncDirectory(draft);
      this.#failpoints.hit("after-manifest", step, "c");
      this.#fence.check();
      await this.#discard(place);
      await this.#disk.rename(draft, place);
      await this.#disk.syncDirectory(this.#directory);
      await this.#anchor();
    } catch (error) {
      await this.#disk.remove(draft).catch(() => undefined);
      throw asWriteError(place, error);
    }
    const manifest = await verifyCheckpoint(this.#disk, place);
    await this.#collect(step, keep);
    return { path: place, manifest };
  }

  /** Whether there is a checkpoint of a step, whole or damaged. */
  async has(step: number): Promise<boolean> {
    return (await this.#steps()).includes(step);
  }

  /**
   * The newest checkpoint, up to step `limit`, of which every byte is right.
   *
   * @param onDamaged hears of each newer one that was refused, and why
   */
  async newest(onDamaged: (error: LapidaryError) => void, limit = Number.POSITIVE_INFINITY): Promise<VerifiedCheckpoint | undefined> {
    for (const step of (await this.#steps()).reverse()) {
      if (step > limit) continue;
      const path = this.#placeOf(step);
      try {
        return { path, manifest: await verifyCheckpoint(this.#disk, path) };
      } catch (error) {
        onDamaged(error instanceof LapidaryError ? error : checkpointDamaged(path, "directory", String(error), error));
      }
    }
    return undefined;
  }

  /** Removes what earlier attempts left behind when they were interrupted. */
  async sweep(): Promise<void> {
    this.#fence.check();
    for (const name of await this.#disk.list(this.#directory)) {
      const epoch = /^\.(?:writing|removed)-.*-(\d+)$/.exec(name)?.[1];
      if (epoch !== undefined && Number(epoch) < this.#fence.epoch) await this.#disk.remove(join(this.#directory, name));
    }
  }

  /** The directories above are not forgotten either: a checkpoint in a directory that nobody finds is none. */
  async #anchor(): Promise<void> {
    if (this.#anchored) return;
    let path = this.#directory;
    for (let level = 0; level < 3 && dirname(path) !== path; level++) {
      path = dirname(path);
      await this.#disk.syncDirectory(path);
    }
    this.#anchored = true;
  }

  /** A step that is computed again came out the same: what was written then is as good, and replacing it would only put it at risk. */
  async #alreadyThere(place: string, about: CheckpointContent["about"]): Promise<Manifest | undefined> {
    if ((await this.#disk.size(place)) === undefined) return undefined;
    try {
      const manifest = await verifyCheckpoint(this.#disk, place);
      return manifest.ledger === about.ledger && manifest.program === about.program ? manifest : undefined;
    } catch (error) {
      if (error instanceof LapidaryError) return undefined;
      throw error;
    }
  }

  async #writeFile(path: string, parts: CheckpointParts, step: number): Promise<ManifestFile> {
    const file = await this.#disk.create(path);
    const hash = createHash("sha256");
    const described: ManifestFile["parts"] = [];
    const isShard = !path.endsWith(manifestName);
    try {
      for (const [name, bytes] of parts) {
        const half = bytes.length >> 1;
        await file.write(bytes.subarray(0, half));
        // The damage is done to what reaches the disk, not to what the manifest says.
        const damaged = isShard && described.length > 0 && this.#failpoints.hit("shard-half-written", step, "c");
        await file.write(damaged ? flipped(bytes.subarray(half)) : bytes.subarray(half));
        hash.update(bytes);
        described.push({ name, bytes: bytes.length, crc32: hexCrc(crc32(bytes)) });
      }
      await file.sync();
    } finally {
      await file.close();
    }
    if (isShard) this.#failpoints.hit("shard-synced", step, "c");
    return { bytes: described.reduce((sum, { bytes }) => sum + bytes, 0), sha256: hash.digest("hex"), parts: described };
  }

  async #collect(newest: number, keep: number): Promise<void> {
    assert(keep >= 1, "at least one checkpoint is kept", keep);
    const older = (await this.#steps()).filter((step) => step < newest);
    for (const step of older.slice(0, Math.max(0, older.length - (keep - 1)))) await this.#discard(this.#placeOf(step));
  }

  /** Takes a checkpoint out of sight in one step, then removes it: half of one is never seen. */
  async #discard(place: string): Promise<void> {
    if ((await this.#disk.size(place)) === undefined) return;
    const removed = join(this.#directory, `.removed-${place.slice(this.#directory.length + 1)}-${this.#fence.epoch}`);
    await this.#disk.remove(removed);
    await this.#disk.rename(place, removed);
    await this.#disk.remove(removed);
  }

  async #steps(): Promise<number[]> {
    return stepsIn(await this.#disk.list(this.#directory));
  }

  #placeOf(step: number): string {
    return join(this.#directory, `step-${step}`);
  }
}

/** Steps of which a directory of checkpoints has one, ascending. */
export function stepsIn(names: readonly string[]): number[] {
  return names
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * Reads the manifest of a checkpoint alone.
 *
 * @throws LAP_CHECKPOINT_DAMAGED
 */
export async function readManifest(disk: Disk, path: string): Promise<Manifest> {
  const file = join(path, manifestName);
  const size = await disk.size(file);
  if (size === undefined) throw checkpointDamaged(path, manifestName, "it is missing");
  if (size > maxManifestBytes) throw checkpointDamaged(path, manifestName, `it has ${size} bytes`);
  const bytes = must(await disk.read(file), manifestName);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw checkpointDamaged(path, manifestName, "it is no UTF-8", error);
  }
  return parseManifest(text, path);
}

/**
 * Reads every byte of a checkpoint.
 *
 * @throws LAP_CHECKPOINT_DAMAGED naming the file, and the tensor in it, that differs from what was written
 */
export async function verifyCheckpoint(disk: Disk, path: string): Promise<Manifest> {
  const manifest = await readManifest(disk, path);
  for (const [name, file] of Object.entries(manifest.files)) await verifyFile(disk, path, name, file);
  return manifest;
}

async function verifyFile(disk: Disk, path: string, name: string, file: ManifestFile): Promise<void> {
  const size = await disk.size(join(path, name));
  if (size === undefined) throw checkpointDamaged(path, name, "it is missing");
  if (size !== file.bytes) throw checkpointDamaged(path, name, `it has ${size} bytes instead of ${file.bytes}`);
  if (file.parts.reduce((sum, { bytes }) => sum + bytes, 0) !== file.bytes) throw checkpointDamaged(path, name, "its parts do not fill it");
  const hash = createHash("sha256");
  let part = 0;
  let left = file.parts[0]?.bytes ?? 0;
  let sum = 0;
  const endParts = (): void => {
    while (left === 0 && part < file.parts.length) {
      const { name: tensor, crc32: wanted } = must(file.parts[part], "part");
      if (hexCrc(sum) !== wanted) throw checkpointDamaged(path, `${name}: ${tensor}`, "its bytes have changed");
      part++;
      sum = 0;
      left = file.parts[part]?.bytes ?? 0;
    }
  };
  endParts();
  for await (const chunk of disk.chunks(join(path, name))) {
    hash.update(chunk);
    for (let at = 0; at < chunk.length; ) {
      const length = Math.min(left, chunk.length - at);
      if (length === 0) throw checkpointDamaged(path, name, "it grew while it was read");
      sum = crc32(chunk.subarray(at, at + length), sum);
      at += length;
      left -= length;
      endParts();
    }
  }
  if (part < file.parts.length) throw checkpointDamaged(path, name, "it ends too early");
  if (hash.digest("hex") !== file.sha256) throw checkpointDamaged(path, name, "its checksum does not fit");
}

const hexCrc = (sum: number): string => sum.toString(16).padStart(8, "0");

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (copy.length > 0) copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}
