import { ObjectStore } from "@lapidary/data-store";
import { isPublished } from "@lapidary/mixture";
import { runningProcess } from "../run/run-lock.js";
import { readPlanFile } from "./plan-file.js";
import { type StageAccount, stageAccounts } from "./stage-accounts.js";

/** How far a pipeline is. */
export interface PipelineStatus {
  readonly out: string;
  readonly file: string;
  /** The process that runs it; undefined if none does. */
  readonly pid: number | undefined;
  readonly stages: readonly StageAccount[];
  /** Whether all objects are stored. */
  readonly isComplete: boolean;
  readonly isPublished: boolean;
}

/** @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_ACCOUNT */
export function pipelineStatus(out: string): PipelineStatus {
  const plan = readPlanFile(out);
  const stages = stageAccounts(new ObjectStore(out), plan);
  return {
    out,
    file: plan.file,
    pid: runningProcess(out),
    stages,
    isComplete: stages.every(({ done, shards }) => done === shards),
    isPublished: isPublished(out),
  };
}
