import { randomInt } from "node:crypto";

/** The first seed of a loop over seeds: 1, so that a failure can be repeated; with LAPIDARY_TEST_SEED, that number, or a fresh one for `random`. */
export function firstSeed(environment: NodeJS.ProcessEnv = process.env): number {
  const wanted = environment["LAPIDARY_TEST_SEED"];
  if (wanted === "random") return randomInt(1, 2 ** 31);
  return wanted === undefined ? 1 : Number(wanted);
}
