/**
 * Loaded before the tests: property tests draw the same cases in every run of one seed, so that what CI says can be had again.
 * LAPIDARY_TEST_SEED sets another, or `random` to look for cases that nobody has met (`npm run test:nightly`).
 */
import fc from "fast-check";

const wanted = process.env.LAPIDARY_TEST_SEED ?? "20261124";
if (wanted !== "random") fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(wanted) });
