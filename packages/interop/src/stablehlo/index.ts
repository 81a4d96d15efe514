export { chipModule, type ModuleOptions, outputSharding, wholeModule } from "./module.js";
export { type Statement, statedShardings } from "./stated-shardings.js";
export type { Numerics } from "./writer.js";
