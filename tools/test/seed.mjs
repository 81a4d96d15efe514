/**
 * Loaded before the tests: property tests draw the same cases in every run with one seed, so that failures of CI can be repeated.
 * LAPIDARY_TEST_SEED sets another, or `random` to find new cases (`npm run test:nightly`).
 */
import fc from "fast-check";

const wanted = process.env.LAPIDARY_TEST_SEED ?? "20261124";
if (wanted !== "random") fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(wanted) });
