import { MixtureStream } from "@lapidary/mixture";
import { z } from "zod";
import { fixtureJson } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const cases = z.object({
  partitions: z.array(z.number()),
  cases: z.array(
    z.object({
      name: z.string(),
      batch: z.number(),
      steps: z.number(),
      sources: z.record(z.string(), z.number()),
      stages: z.array(z.object({ from: z.number(), ramp: z.number().optional(), weights: z.record(z.string(), z.number()) })),
    }),
  ),
});

/** The rows of mixtures with stages, as each number of hosts computes them. Each host has a stream of its own. */
export const stream: JudgeTask = {
  name: "stream",
  *answers(fixtures) {
    const { partitions, cases: all } = fixtureJson(fixtures, "stream/cases.json", cases);
    for (const { name, batch, steps, sources, stages } of all)
      for (const partition of partitions)
        for (let host = 0; host < partition; host++) {
          const named = Object.entries(sources).map(([source, sequences]) => ({ name: source, sequences }));
          const rows = new MixtureStream({ sources: named, stages, batch, seed: 0 });
          for (let step = 0; step < steps; step++)
            for (let row = host; row < batch; row += partition) {
              const { source, epoch, index } = rows.row(step, row);
              yield { case: name, partition, step, row, source: named[source]?.name, epoch, index };
            }
        }
  },
};
