export { chipModule, outputSharding, wholeModule } from "./module.js";
export { type Statement, statedShardings } from "./stated-shardings.js";
export type { Numerics, WriterOptions } from "./writer.js";
