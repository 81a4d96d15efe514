export { fitAblation } from "./ablation/ablation.js";
export { type MeasuredGain, measuredGain } from "./ablation/confirm.js";
export { designMixtures } from "./ablation/design.js";
export { recommendMixture } from "./ablation/recommend.js";
export type { SeededRun } from "./ablation/seeded-run.js";
export { type AblationSummary, meanGoal, summarizeAblation } from "./ablation/summarize.js";
export { damagedDataset } from "./dataset/dataset-error.js";
export { DocumentTable } from "./dataset/document-table.js";
export { splitShard } from "./dataset/held-out.js";
export {
  type BytesPerId,
  bytesPerId,
  isPublished,
  type PublishedDataset,
  type PublishedSource,
  readPublished,
  writePublished,
} from "./dataset/published-dataset.js";
export { encodeShard, type ShardDocument } from "./dataset/shard.js";
export { TokenStream } from "./dataset/token-stream.js";
export { checkShardSizes, checkTokenizerFile, verifyPublished } from "./dataset/verify.js";
export { permute } from "./stream/permutation.js";
export { MixtureStream, type StreamRow } from "./stream/stream.js";
export { historyOf, type Stage, sharesOf } from "./stream/stages.js";
export { checkRepeats } from "./stream/repeats.js";
