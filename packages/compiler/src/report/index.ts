export {
  type CollectiveSummary,
  collectivesOf,
  shardTable,
  stateBytesPerChip,
  summarizeCollectives,
  type WeightShards,
  weightShards,
} from "./report.js";
