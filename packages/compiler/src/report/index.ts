export { type CollectiveSummary, collectivesOf, describeMesh, shardTable, stateBytesPerChip, summarizeCollectives } from "./report.js";
