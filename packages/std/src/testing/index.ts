export { importCached } from "./cached-package.js";
export { expectText } from "./expect-text.js";
export { firstSeed } from "./first-seed.js";
export { type FuzzTarget, hostileBytes, hostileText } from "./fuzz.js";
export { forEachState, type Recording, recordWrites } from "./record-writes.js";
export { prose } from "./prose.js";
export { temporaryDirectory } from "./temporary.js";
