/** The page itself is built into `page/dist` (bin/build-page.mjs) and served by the coordinator. What follows is its logic without a screen. */
export * from "./model/route.js";
export * from "./model/run-data.js";
export * from "./model/shards.js";
export * from "./model/torus-layout.js";
