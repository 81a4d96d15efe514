/**
 * Loaded before the tests. Property tests draw the same cases in every run with one seed, so that failures of CI can be repeated.
 * LAPIDARY_TEST_SEED sets another, or `random` to find new cases (`npm run test:nightly`). LAPIDARY_PROPERTY_RUNS sets the number of cases of the
 * properties that do not set it.
 *
 * Each property reports how many cases it compared. A case that ends early must call `fc.pre`, so that another case is drawn in its place.
 */
import fc from "fast-check";
import { propertyEvents } from "./property-events.mjs";

const wanted = process.env.LAPIDARY_TEST_SEED ?? "20261124";
const runs = process.env.LAPIDARY_PROPERTY_RUNS;
fc.configureGlobal({
  ...fc.readConfigureGlobal(),
  ...(wanted === "random" ? {} : { seed: Number(wanted) }),
  ...(runs === undefined ? {} : { numRuns: Number(runs) }),
  reporter: (details) => {
    if (details.failed) throw new Error(fc.defaultReportMessage(details), { cause: details.errorInstance });
    if (details.numRuns === 0) throw new Error("the property compared no case");
    propertyEvents.emit("held", { cases: details.numRuns, rejected: details.numSkips, seed: details.seed });
  },
});
