import { basename, join, resolve } from "node:path";
import { givenShardings, importStep, meshOfStep } from "@lapidary/stablehlo";
import { checkStepInputs, hashOfText, readStepText } from "@lapidary/trainer/imported";
import { type JobText, type JobValue, parseShard, resolveStepJob, stepJobFileOf } from "@lapidary/training/job";
import type { Directories } from "../directories.js";
import { isStepFile } from "../step-file/is-step-file.js";
import type { JobSubmission } from "./job-submission.js";

/**
 * The job of an exported step: of its text, or of a job file that names the text. The text is read and converted here, so that an error is reported
 * before the job waits in the queue.
 *
 * @param given the path of a text, or a job file
 */
export async function readStepSubmission(
  { root, cwd }: Directories,
  given: string | JobText,
  words: readonly string[],
): Promise<JobSubmission> {
  const { value, overrides } = valueOf(given, words, cwd);
  const environment = { configsDir: join(root, "configs"), base: cwd };
  const { job } = resolveStepJob(value, overrides, environment);
  const text = readStepText(job.step, job.step);
  const step = importStep(text, typeof given === "string" ? given : job.step, undefined, job.mesh);
  const stated = Object.fromEntries(job.mesh.map(({ name, size }) => [name, size]));
  const mesh = meshOfStep(step, job.step, stated);
  givenShardings(step, mesh, job.step, new Map(Object.entries(job.shard).map(([name, dims]) => [name, parseShard(dims)])));
  await checkStepInputs(step, job);
  const { job: complete } = resolveStepJob(value, overrides, environment, mesh.axes);
  return { job: stepJobFileOf({ ...complete, step_hash: hashOfText(text) }), priority: complete.priority };
}

/** A job file as values, and the words of the command line that are overrides. Names in `shard.NAME`, `batch.NAME` and `tokens.NAME` may have dots. */
function valueOf(
  given: string | JobText,
  words: readonly string[],
  cwd: string,
): { readonly value: JobText | JobValue; readonly overrides: readonly string[] } {
  const maps = { shard: new Map<string, string>(), batch: new Map<string, string>(), tokens: new Map<string, number>() };
  const overrides: string[] = [];
  for (const word of words) {
    const [, kind = "", name = "", text = ""] = /^(shard|batch|tokens)\.([^=]+)=(.*)$/s.exec(word) ?? [];
    if (kind === "shard" || kind === "batch") maps[kind].set(name, text);
    else if (kind === "tokens") maps.tokens.set(name, Number(text));
    else overrides.push(word);
  }
  const named = {
    ...(maps.shard.size === 0 ? {} : { shard: Object.fromEntries(maps.shard) }),
    ...(maps.batch.size === 0 ? {} : { batch: Object.fromEntries(maps.batch) }),
    ...(maps.tokens.size === 0 ? {} : { tokens: Object.fromEntries(maps.tokens) }),
  };
  if (typeof given !== "string") {
    const all = Object.entries(named).map(([key, map]) => `${key}=${JSON.stringify(map)}`);
    return { value: given, overrides: [...all, ...overrides] };
  }
  if (!isStepFile(given)) throw new Error(`invariant broken: ${given} is no step file`);
  return { value: { value: { step: resolve(cwd, given), ...named }, file: basename(given), base: cwd }, overrides };
}
