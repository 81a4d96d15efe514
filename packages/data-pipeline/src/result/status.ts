import type { S3Access } from "@lapidary/data-store";
import { isPublished } from "@lapidary/mixture";
import { runningProcess } from "../run/run-lock.js";
import { openResult } from "./open-result.js";
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
export async function pipelineStatus(out: string, s3?: S3Access): Promise<PipelineStatus> {
  const { store, plan } = openResult(out, s3);
  const stages = await stageAccounts(store, plan);
  return {
    out,
    file: plan.file,
    pid: runningProcess(out),
    stages,
    isComplete: stages.every(({ done, shards }) => done === shards),
    isPublished: isPublished(out),
  };
}
