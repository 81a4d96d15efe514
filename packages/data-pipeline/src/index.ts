export { fetchSources } from "./fetch/fetch-sources.js";
export { readPipeline, storeLocation } from "./file/pipeline-file.js";
export { type DatasetCard, datasetCard, idleStages, type LimitCard, type StageCard } from "./result/card.js";
export { cardText, writeCard } from "./result/card-text.js";
export { collectGarbage } from "./result/collect-garbage.js";
export type { NeededObjects } from "./result/needed-objects.js";
export { type DatasetDifference, diffDatasets } from "./result/diff.js";
export {
  type CanaryRecitation,
  type RecitationReport,
  type RecitationTally,
  type SourceRecitation,
  writeRecitation,
} from "./result/recitation-file.js";
export { type KnownDataset, knownDatasets, outputDirectory, rememberRun } from "./result/locate.js";
export { type StageAccount } from "./result/stage-accounts.js";
export { type PipelineStatus, pipelineStatus } from "./result/status.js";
export { verifyObjects } from "./result/verify-objects.js";
export { type RuleEffect, whatIf } from "./result/whatif.js";
export { type DocumentHistory, type StageFate, whyDocument } from "./result/why.js";
export { Progress } from "./run/progress.js";
export { type RunResult, runPipeline } from "./run/run-pipeline.js";
export { hasPlanFile } from "./result/plan-file.js";
export { runRobustly, type SetAside } from "./run/run-robustly.js";
export { childProcess, type ExecutorContext, type StartRunner, type TaskExecutor } from "./run/task-executor.js";
export type { TaskRunner } from "./run/task-process.js";
export type { Plan, Task } from "./plan/plan.js";
