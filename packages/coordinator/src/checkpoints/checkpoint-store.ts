import { dirname, join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { type Failpoints, LapidaryError, assert, must, noFailpoints } from "@lapidary/std";
import { asWriteError, checkpointDamaged } from "./checkpoint-errors.js";
import type { Disk, DiskFile } from "./disk.js";
import { type Manifest, type ManifestFile, manifestName, maxManifestBytes, parseManifest, printManifest } from "./manifest.js";
import type { Fence } from "./run-fence.js";

/** A file of a checkpoint, as named stretches of bytes: they are written one after the other. */
export type CheckpointParts = readonly (readonly [name: string, bytes: Uint8Array])[];

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
 *     .writing-N/   files, all synced ─► manifest.json, synced ─► directory, synced ─► renamed to step-N/ ─► parent, synced ─► read back
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
    let manifest: Manifest;
    try {
      await this.#disk.makeDirectory(draft);
      manifest = {
        format: "lapidary-checkpoint/1",
        ...about,
        epoch: this.#fence.epoch,
        files: await this.#writeFiles(draft, files, step),
      };
      this.#failpoints.hit("before-manifest", step, "c");
      const parts: CheckpointParts = [["manifest", Buffer.from(printManifest(manifest))]];
      const sealed = must((await this.#writeFiles(draft, new Map([[manifestName, parts]]), undefined))[manifestName], manifestName);
      await this.#disk.syncDirectory(draft);
      this.#failpoints.hit("after-manifest", step, "c");
      this.#fence.check();
      await this.#discard(place);
      await this.#disk.rename(draft, place);
      await this.#disk.syncDirectory(this.#directory);
      await this.#anchor();
      const described = [...Object.entries(manifest.files), [manifestName, sealed] as const];
      await all(described.map(([name, file]) => readBack(this.#disk, place, name, file)));
    } catch (error) {
      await this.#disk.remove(draft).catch(() => undefined);
      throw asWriteError(place, error);
    }
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

  /**
   * Writes files, and then syncs them together: the file system notes all of them at once.
   *
   * @param step where tests let it fail; undefined: nowhere
   */
  async #writeFiles(draft: string, files: CheckpointContent["files"], step: number | undefined): Promise<Manifest["files"]> {
    const written: { readonly name: string; readonly file: DiskFile; readonly sums: readonly number[]; readonly parts: CheckpointParts }[] =
      [];
    try {
      for (const [name, parts] of files) {
        const file = await this.#disk.create(join(draft, name));
        // It is closed whatever becomes of it.
        const sums: number[] = [];
        written.push({ name, file, sums, parts });
        sums.push(...(await this.#writeParts(file, parts, step)));
      }
      await all(written.map(({ file }) => file.sync()));
      if (step !== undefined) for (const _ of written) this.#failpoints.hit("shard-synced", step, "c");
    } finally {
      for (const { file } of written) await file.close();
    }
    return Object.fromEntries(written.map(({ name, parts, sums }) => [name, describe(parts, sums)]));
  }

  /** @returns the checksums of what was to be written */
  async #writeParts(file: DiskFile, parts: CheckpointParts, step: number | undefined): Promise<readonly number[]> {
    const bytes = parts.map(([, part]) => part);
    const half = step === undefined ? bytes.length : Math.ceil(bytes.length / 2);
    const before = await file.write(bytes.slice(0, half));
    const rest = bytes.slice(half);
    if (step === undefined || rest.length === 0) return before;
    // The damage is done to what reaches the disk, not to what the manifest says.
    if (!this.#failpoints.hit("shard-half-written", step, "c")) return [...before, ...(await file.write(rest))];
    await file.write(rest.map(flipped));
    return [...before, ...rest.map((part) => crc32(part))];
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
  await readBack(disk, path, name, file);
}

/** Reads a file and compares its parts. */
async function readBack(disk: Disk, path: string, name: string, file: ManifestFile): Promise<void> {
  const sums = await disk.checksums(
    join(path, name),
    file.parts.map(({ bytes }) => bytes),
  );
  file.parts.forEach(({ name: tensor, crc32: wanted }, i) => {
    const sum = sums[i];
    if (sum === undefined) throw checkpointDamaged(path, name, "it ends too early");
    if (hexCrc(sum) !== wanted) throw checkpointDamaged(path, `${name}: ${tensor}`, "its bytes have changed");
  });
  if (sums.length > file.parts.length) throw checkpointDamaged(path, name, "it goes on behind its parts");
}

/** What the manifest says of a file. */
function describe(parts: CheckpointParts, sums: readonly number[]): ManifestFile {
  const described = parts.map(([name, { length }], i) => ({ name, bytes: length, crc32: hexCrc(must(sums[i], "checksum")) }));
  return { bytes: described.reduce((sum, { bytes }) => sum + bytes, 0), parts: described };
}

/** Until all have ended, however: nothing is closed or removed under one that is still at work. @throws what the first of them threw */
async function all(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason;
}

const hexCrc = (sum: number): string => sum.toString(16).padStart(8, "0");

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (copy.length > 0) copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}
