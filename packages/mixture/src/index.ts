export { fitAblation } from "./ablation/ablation.js";
export { recommendMixture } from "./ablation/recommend.js";
export {
  type BytesPerId,
  bytesPerId,
  isPublished,
  type PublishedDataset,
  type PublishedShard,
  type PublishedSource,
  readPublished,
  writePublished,
} from "./dataset/published-dataset.js";
export { describeShard, type EncodedShard, encodeShard, type ShardDocument } from "./dataset/shard.js";
export { verifyPublished } from "./dataset/verify.js";
export { permute } from "./stream/permutation.js";
export { MixtureStream } from "./stream/stream.js";
