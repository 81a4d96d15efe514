// What the commands `lapidary data run, status, card, …` call.

export {
  cardText,
  collectGarbage,
  type DatasetDifference,
  datasetCard,
  diffDatasets,
  type DocumentHistory,
  idleStages,
  outputDirectory,
  type PipelineStatus,
  pipelineStatus,
  Progress,
  readPipeline,
  rememberRun,
  type RuleEffect,
  type RunResult,
  runPipeline,
  type StageAccount,
  type StageFate,
  storeLocation,
  verifyObjects,
  whatIf,
  whyDocument,
  writeCard,
} from "@lapidary/data-pipeline";
export { s3AccessOf } from "@lapidary/data-store";
