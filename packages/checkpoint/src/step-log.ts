import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { jsonText, LapidaryError, assert } from "@lapidary/std";
import { z } from "zod";
import { floatSchema } from "@lapidary/api/api-values";
import type { Disk } from "./disk.js";
import type { Fence } from "./run-fence.js";

const count = z.number().int().nonnegative();
const float = floatSchema;

/** A step that counts: it was computed, all workers said so, and it will be part of whatever becomes of the run. */
const commitSchema = z.strictObject({
  step: count,
  epoch: count,
  loss: float,
  grad_norm: float,
  learning_rate: float,
  tokens: z.number(),
  /** Of this step and all before it. */
  digest: z.string(),
});
export type Commit = z.infer<typeof commitSchema>;

/** An attempt begins after step `from`. */
const attemptSchema = z.strictObject({
  attempt: count,
  from: count,
  /** What decides in which order numbers are added: program, workers, executor. */
  layout: z.string(),
  /** Digest at `from`. */
  digest: z.string(),
  /** Steps after `from` that were committed before count no more: the new layout computes them anew. */
  rewinds: z.boolean(),
  /** Why the attempt before it ended. */
  why: z.string().optional(),
});
export type Attempt = z.infer<typeof attemptSchema>;

/** Step `step` is not computed on the batch that it would have: all batches from there on move up by one. */
const skipSchema = z.strictObject({ skip: count, step: count, why: z.string() });
export type Skip = z.infer<typeof skipSchema>;

const lineSchema = z.union([commitSchema, attemptSchema, skipSchema]);
type Line = z.infer<typeof lineSchema>;

/** What a step's metrics are, for the step log. */
export interface StepOutcome {
  readonly loss: number;
  readonly grad_norm: number;
  readonly learning_rate: number;
  readonly tokens_counted: number;
}

export const stepLogFile = "ledger.jsonl";

/**
 * The step log of a run: each committed step exactly once, in order, each with a digest of all before it.
 *
 *     {"attempt":1,"from":0,"layout":"…","digest":"…","rewinds":false,"crc":"…"}
 *     {"step":1,"epoch":1,"loss":5.5,…,"digest":"…","crc":"…"}
 *
 * A line is appended whole; a line that a crash left incomplete or that does not fit its checksum is cut off when the file is next opened, with all lines after it. Since
 * every step can be computed again to the same digest, a lost tail loses no step. Checkpoints refer to a digest and are written only once the step log up to it is synced.
 *
 * Invariants: a step that is committed again (after a restart) must have the digest that it had; an attempt that was superseded commits nothing.
 */
export class StepLog {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #fence: Fence;
  readonly #commits: Commit[] = [];
  readonly #attempts: Attempt[] = [];
  #skips: Skip[] = [];
  /** The step before the first commit, and the digest there. */
  #base = { step: 0, digest: firstDigest };
  /** The step that was computed last by this attempt: after the last commit while steps are replayed. */
  #at = 0;

  constructor(disk: Disk, runDirectory: string, fence: Fence) {
    this.#disk = disk;
    this.#path = join(runDirectory, stepLogFile);
    this.#fence = fence;
    const { lines, bytes, size } = readStepLogText(disk.readText(this.#path));
    if (bytes < size) disk.truncate(this.#path, bytes);
    for (const line of lines) this.#take(line);
  }

  /** Number of the last committed step. */
  get last(): number {
    return this.#base.step + this.#commits.length;
  }

  /** Digest after step `step`, if it is committed. */
  digestAt(step: number): string | undefined {
    return step === this.#base.step ? this.#base.digest : this.#commits[step - this.#base.step - 1]?.digest;
  }

  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  get skips(): readonly Skip[] {
    return this.#skips;
  }

  /** Number of the batch, from 0, that a step is computed on. */
  batchOf(step: number): number {
    return step - 1 + this.#skips.filter((skip) => skip.step <= step).length;
  }

  /** Leaves the batch of the next step out, for good. */
  skip(why: string): Skip {
    this.#fence.check();
    const step = this.last + 1;
    const skip: Skip = { skip: this.batchOf(step), step, why };
    this.#append(skip);
    this.#take(skip);
    return skip;
  }

  commitOf(step: number): Commit | undefined {
    return this.#commits[step - this.#base.step - 1];
  }

  /**
   * An attempt begins from the state after step `from`.
   *
   * @param digest what the state's checkpoint says the step log was there; undefined for a state that the step log vouches for
   * @throws LAP_EPOCH_STALE
   */
  begin(from: number, layout: string, digest: string | undefined, why: string | undefined): Attempt {
    this.#fence.check();
    const known = this.digestAt(from);
    const before = this.#attempts.at(-1);
    const fits = known !== undefined && (digest === undefined || digest === known);
    const rewinds = this.last > from && (!fits || (before !== undefined && before.layout !== layout));
    const attempt: Attempt = {
      attempt: this.#fence.epoch,
      from,
      layout,
      digest: digest ?? known ?? firstDigest,
      rewinds: rewinds || !fits,
      ...(why === undefined ? {} : { why }),
    };
    this.#append(attempt);
    this.#take(attempt);
    this.#at = from;
    return attempt;
  }

  /**
   * The next step was computed and all workers agree.
   *
   * @returns whether it is new: false for one that was committed before, and came out the same
   * @throws LAP_REPLAY_DIFFERS when it did not; LAP_EPOCH_STALE
   */
  commit(step: number, outcome: StepOutcome): boolean {
    assert(step === this.#at + 1, "steps are committed in order", step, this.#at);
    const { loss, grad_norm, learning_rate, tokens_counted: tokens } = outcome;
    const digest = nextDigest(this.digestAt(step - 1) ?? firstDigest, step, [loss, grad_norm, learning_rate, tokens]);
    const known = this.digestAt(step);
    if (known !== undefined && known !== digest) throw replayDiffers(step, this.commitOf(step)?.loss, loss);
    this.#at = step;
    if (known !== undefined) return false;
    this.#fence.check();
    const commit: Commit = { step, epoch: this.#fence.epoch, loss, grad_norm, learning_rate, tokens, digest };
    this.#append(commit);
    this.#take(commit);
    return true;
  }

  /** What was committed so far survives a power cut. @throws LAP_LEDGER_WRITE */
  sync(): void {
    this.#orRefused(() => this.#disk.syncFile(this.#path));
  }

  #append(line: Line): void {
    this.#orRefused(() => this.#disk.append(this.#path, printLine(line)));
  }

  #orRefused(write: () => void): void {
    try {
      write();
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException;
      throw syscall === undefined ? error : stepLogRefused(this.#path, code ?? syscall, error);
    }
  }

  #take(line: Line): void {
    if ("attempt" in line) {
      this.#attempts.push(line);
      if (!line.rewinds) return;
      this.#skips = this.#skips.filter(({ step }) => step <= line.from);
      if (line.from >= this.#base.step && this.digestAt(line.from) === line.digest) this.#commits.length = line.from - this.#base.step;
      else {
        this.#base = { step: line.from, digest: line.digest };
        this.#commits.length = 0;
      }
      return;
    }
    assert(line.step === this.last + 1, "the step log has each step once", line.step, this.last);
    if ("skip" in line) {
      this.#skips.push(line);
      return;
    }
    this.#commits.push(line);
  }
}

/** The committed steps and the attempts of a run, from its file. */
export function readStepLog(
  disk: Pick<Disk, "readText">,
  runDirectory: string,
): { readonly commits: Commit[]; readonly attempts: Attempt[] } {
  const commits: Commit[] = [];
  const attempts: Attempt[] = [];
  for (const line of readStepLogText(disk.readText(join(runDirectory, stepLogFile))).lines) {
    if ("attempt" in line) {
      attempts.push(line);
      if (line.rewinds) while ((commits.at(-1)?.step ?? 0) > line.from) commits.pop();
    } else if ("digest" in line) commits.push(line);
  }
  return { commits, attempts };
}

function readStepLogText(text = ""): { lines: Line[]; bytes: number; size: number } {
  const lines: Line[] = [];
  let bytes = 0;
  for (const line of text.split("\n").slice(0, -1)) {
    const read = parseLine(line);
    if (read === undefined) break;
    lines.push(read);
    bytes += Buffer.byteLength(line) + 1;
  }
  return { lines, bytes, size: Buffer.byteLength(text) };
}

/** The line without its checksum is the same text, closed. */
function printLine(line: Line): string {
  const body = jsonText(line);
  return `${body.slice(0, -1)},"crc":"${crcOf(body)}"}\n`;
}

function parseLine(line: string): Line | undefined {
  const [, body, crc] = /^(\{.*),"crc":"([0-9a-f]{8})"\}$/.exec(line) ?? [];
  if (body === undefined || crcOf(`${body}}`) !== crc) return undefined;
  const parsed = lineSchema.safeParse(JSON.parse(`${body}}`));
  return parsed.success ? parsed.data : undefined;
}

const crcOf = (text: string): string => crc32(Buffer.from(text)).toString(16).padStart(8, "0");

export const firstDigest = "0".repeat(32);

/** Numbers by their bits: 0 and -0 differ, all that is printed alike does not. */
function nextDigest(before: string, step: number, numbers: readonly number[]): string {
  return createHash("sha256")
    .update(before)
    .update(new Uint8Array(Float64Array.of(step, ...numbers).buffer))
    .digest("hex")
    .slice(0, 32);
}

/** Without a step log no step counts: the job ends, and can be resumed when the disk has space. */
function stepLogRefused(path: string, code: string, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_LEDGER_WRITE",
    message: `the step log cannot be written: ${code}`,
    place: path,
    remedy: `free disk space, or check that the home directory can be written; then \`lapidary jobs resume ${basename(dirname(path))}\``,
    cause,
  });
}

function replayDiffers(step: number, before: number | undefined, now: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_REPLAY_DIFFERS",
    message: `step ${step} was computed again and gave another result: loss ${now} instead of ${before ?? "another"}`,
    place: `step ${step}`,
  });
}
