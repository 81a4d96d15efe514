// The HTTP server of a trained model. README.md lists the files.

export type {
  ChatMessage,
  GeneratedToken,
  GenerationEngine,
  GenerationRow,
  RowEnd,
  RowSampling,
  TokenTextStream,
} from "./engine.js";
export { type ModelServer, type ServeLimits, type ServeOptions, serveModel } from "./http/serve-model.js";
