import { readFileSync } from "node:fs";
import { LapidaryError } from "@lapidary/std";
import { type JobText, type JobValue, printJobFile } from "@lapidary/training/job";
import { jobFilePath } from "./job-file-path.js";

/**
 * The job file of a run, which needs no other file.
 *
 * @throws LAP_JOB_UNREADABLE if it is missing or damaged
 */
export function readJobFile(runDirectory: string): JobText | JobValue {
  const file = jobFilePath(runDirectory);
  const text = readText(file);
  return file.endsWith(".yaml")
    ? { text, file, base: runDirectory, isPrinted: true }
    : { value: parseObject(text, file), file, base: runDirectory };
}

/** The job file of a run as YAML, for people. @throws LAP_JOB_UNREADABLE */
export function jobFileYaml(runDirectory: string): string {
  const file = readJobFile(runDirectory);
  return "text" in file ? file.text : printJobFile(file.value);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function parseObject(text: string, path: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  throw unreadable(path, new Error("it is not an object"));
}

const unreadable = (path: string, cause: unknown): LapidaryError =>
  new LapidaryError({
    code: "LAP_JOB_UNREADABLE",
    message: `the job file of the run cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    location: path,
    remedy: "restore the file, or launch the job again",
    cause,
  });
