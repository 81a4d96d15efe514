import { existsSync, readFileSync } from "node:fs";
import type { PageFiles } from "./page-files.js";
import type { RecordedStep, Snapshot } from "@lapidary/api/view-api";
import { programFile } from "@lapidary/telemetry";
import { standalonePage } from "@lapidary/api/standalone-page";
import { stepTraceAt } from "@lapidary/api/step-traces";
import { readWorkerSteps } from "@lapidary/api/worker-steps";
import { encodeWorkerSteps } from "@lapidary/api/frames";

/** The data that an exported page contains, because it has no server. */
interface Recorded {
  readonly snapshot: Snapshot;
  readonly program: unknown;
  /** One frame, in base64. */
  readonly worker_steps: string;
  /** The newest step that was recorded call by call. */
  readonly step_trace: RecordedStep;
}

const workerStepPoints = 2000;

/** The page of one run as a single file. */
export function exportPage(page: PageFiles, snapshot: Snapshot, directory: string): string {
  const { workers, steps } = readWorkerSteps(directory, 0, Number.MAX_SAFE_INTEGER, workerStepPoints);
  const { trace } = stepTraceAt(directory);
  const recorded: Recorded = {
    snapshot,
    program: existsSync(programFile(directory)) ? JSON.parse(readFileSync(programFile(directory), "utf8")) : null,
    worker_steps: Buffer.from(encodeWorkerSteps(workers, steps)).toString("base64"),
    step_trace: { steps: trace === null ? [] : [trace.step], trace },
  };
  return standalonePage((name) => page.read(name), recorded);
}
