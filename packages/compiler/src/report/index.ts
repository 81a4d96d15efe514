export {
  type CollectiveSummary,
  collectivesOf,
  describeMesh,
  shardTable,
  stateBytesPerChip,
  summarizeCollectives,
  type WeightShards,
  weightShards,
} from "./report.js";
