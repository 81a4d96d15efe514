/**
 * Loaded before the tests. Property tests draw the same cases in every run with one seed, so that a failure in CI can be reproduced.
 * LAPIDARY_TEST_SEED sets another seed, or `random` for new cases (`npm run test:nightly`).
 */
import fc from "fast-check";

const wanted = process.env.LAPIDARY_TEST_SEED ?? "20261124";
if (wanted !== "random") fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(wanted) });
