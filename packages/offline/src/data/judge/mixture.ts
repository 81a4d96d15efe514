import { fitAblation, recommendMixture } from "@lapidary/mixture";
import { z } from "zod";
import { fixtureJson, fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const numbers = z.record(z.string(), z.number());
const run = z.object({ size: z.string(), mixture: numbers, losses: numbers });
const question = z.object({ size: z.string(), domain_weights: numbers, most: numbers, mixtures: z.record(z.string(), numbers) });

/** The losses of mixtures at the larger size, and the mixture with the least loss. */
export const mixture: JudgeTask = {
  name: "mixture",
  *answers(fixtures) {
    const { size: large, domain_weights: weights, most, mixtures } = fixtureJson(fixtures, "mixture/ask.json", question);
    const sources = Object.keys(most);
    const sharesOf = (of: Readonly<Record<string, number>>): number[] => sources.map((source) => of[source] ?? 0);
    const runs = fixtureRows(fixtures, "mixture/runs.jsonl", run).map(({ size, mixture: of, losses }) => ({
      size,
      shares: sharesOf(of),
      losses,
    }));
    const small = runs.find(({ size }) => size !== large)?.size ?? large;
    const { predict } = fitAblation(runs, { small, large, weights });
    for (const [ask, of] of Object.entries(mixtures)) yield { ask, loss: predict(sharesOf(of)) };
    const recommended = recommendMixture(predict, sharesOf(most));
    yield { recommended: Object.fromEntries(sources.map((source, i) => [source, recommended[i]])) };
  },
};
