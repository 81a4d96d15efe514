export { fitAblation } from "./ablation/ablation.js";
export { recommendMixture } from "./ablation/recommend.js";
export { permute } from "./stream/permutation.js";
export { MixtureStream } from "./stream/stream.js";
