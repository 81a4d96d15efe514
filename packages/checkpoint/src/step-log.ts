import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { jsonText, LapidaryError, assert } from "@lapidary/std";
import { z } from "zod";
import { floatSchema } from "@lapidary/api/api-values";
import type { Disk } from "./disk.js";
import { asStepLogError } from "./checkpoint-errors.js";
import type { Fence } from "./run-fence.js";

const count = z.number().int().nonnegative();
const float = floatSchema;

/** A committed step: all workers computed it, and its record is synced before anything depends on it. */
const commitSchema = z.strictObject({
  step: count,
  epoch: count,
  loss: float,
  grad_norm: float,
  learning_rate: float,
  tokens: z.number(),
  /** Digest of this step and all steps before it. */
  digest: z.string(),
});
export type Commit = z.infer<typeof commitSchema>;

/** An attempt begins after step `from`. */
const attemptSchema = z.strictObject({
  attempt: count,
  from: count,
  /** Decides the order in which numbers are added: program, workers, executor. */
  layout: z.string(),
  /** Digest at `from`. */
  digest: z.string(),
  /** Earlier commits after `from` do not count any more, because the new layout computes these steps again. */
  rewinds: z.boolean(),
  /** Why the previous attempt ended. */
  why: z.string().optional(),
});
export type Attempt = z.infer<typeof attemptSchema>;

/** Step `step` skips its batch: all batches from there on move up by one. */
const skipSchema = z.strictObject({ skip: count, step: count, why: z.string() });
export type Skip = z.infer<typeof skipSchema>;

const lineSchema = z.union([commitSchema, attemptSchema, skipSchema]);
type Line = z.infer<typeof lineSchema>;

/** The metrics of a step in the step log. */
export interface StepOutcome {
  readonly loss: number;
  /** 0 in the log, like the learning rate, if the step has none. */
  readonly grad_norm?: number;
  readonly learning_rate?: number;
  readonly tokens_counted: number;
}

export const stepLogFile = "ledger.jsonl";

/**
 * The step log of a run: each committed step exactly once, in order, each with a digest of all steps before it.
 *
 *     {"attempt":1,"from":0,"layout":"…","digest":"…","rewinds":false,"crc":"…"}
 *     {"step":1,"epoch":1,"loss":5.5,…,"digest":"…","crc":"…"}
 *
 * Lines are appended whole. If a line is incomplete after a crash, or does not fit its checksum, the next open truncates the file before it. Every step
 * can be repeated with the same digest, so a lost tail loses no step. A checkpoint contains a digest, and is written only after the step log up to
 * that digest is synced.
 *
 * Invariants: a step that is committed again (after a restart) must have the same digest; an attempt that was superseded commits nothing.
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
  /** Whether the name of the file survives a power cut too. */
  #hasDurableName = false;
  /** The last step that this attempt computed. It is before the last commit while steps are repeated. */
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

  /** Number, from 0, of the batch of a step. */
  batchOf(step: number): number {
    return batchOfStep(step, this.#skips);
  }

  /** Skips the batch of the next step permanently. */
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
   * Begins an attempt with the state after step `from`.
   *
   * @param digest the digest of the step log in the checkpoint of the state; undefined for a state that the step log confirms
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
   * Commits the next step, which all workers have computed.
   *
   * @returns whether it is new: false for a step that was committed before with the same result
   * @throws LAP_REPLAY_DIFFERS if the result differs; LAP_EPOCH_STALE
   */
  commit(step: number, outcome: StepOutcome): boolean {
    assert(step === this.#at + 1, "steps are committed in order", step, this.#at);
    const { loss, grad_norm = 0, learning_rate = 0, tokens_counted: tokens } = outcome;
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

  /** Makes all commits so far survive a power cut. @throws LAP_LEDGER_WRITE */
  sync(): void {
    this.#orRefused(() => {
      this.#disk.syncFile(this.#path);
      if (!this.#hasDurableName) this.#disk.syncDirectoryNow(dirname(this.#path));
      this.#hasDurableName = true;
    });
  }

  #append(line: Line): void {
    this.#orRefused(() => this.#disk.append(this.#path, printLine(line)));
  }

  #orRefused(write: () => void): void {
    try {
      write();
    } catch (error) {
      throw asStepLogError("the step log", this.#path, error);
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

/** Number, from 0, of the batch of a step of a run that skipped batches. */
export const batchOfStep = (step: number, skips: readonly Skip[]): number => step - 1 + skips.filter((skip) => skip.step <= step).length;

/** The committed steps, the attempts and the skipped batches of a run, from its file. */
export function readStepLog(
  disk: Pick<Disk, "readText">,
  runDirectory: string,
): { readonly commits: Commit[]; readonly attempts: Attempt[]; readonly skips: readonly Skip[] } {
  const commits: Commit[] = [];
  const attempts: Attempt[] = [];
  let skips: readonly Skip[] = [];
  for (const line of readStepLogText(disk.readText(join(runDirectory, stepLogFile))).lines) {
    if ("attempt" in line) {
      attempts.push(line);
      if (!line.rewinds) continue;
      while ((commits.at(-1)?.step ?? 0) > line.from) commits.pop();
      skips = skips.filter(({ step }) => step <= line.from);
    } else if ("digest" in line) commits.push(line);
    else skips = [...skips, line];
  }
  return { commits, attempts, skips };
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

/** The line without its checksum is the same text with a closing brace. */
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

/** Prints numbers by their bits: 0 and -0 differ, and equal texts mean equal bits. */
function nextDigest(before: string, step: number, numbers: readonly number[]): string {
  return createHash("sha256")
    .update(before)
    .update(new Uint8Array(Float64Array.of(step, ...numbers).buffer))
    .digest("hex")
    .slice(0, 32);
}

function replayDiffers(step: number, before: number | undefined, now: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_REPLAY_DIFFERS",
    message: `step ${step} was computed again and gave another result: loss ${now} instead of ${before ?? "another"}`,
    location: `step ${step}`,
  });
}
