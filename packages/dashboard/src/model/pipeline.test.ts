import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { JobState, JobSummary } from "@lapidary/api";
import fc from "fast-check";
import { pipelinesOf, pipelineState, withNewest } from "./pipeline.js";
import { pipelineLayout } from "./pipeline-layout.js";

const summary = (id: string, state: JobState, pipeline?: string): JobSummary => ({
  ...{ id, state, priority: 0, model: "nano", pod: "v5e-256", mesh: "data=1", chips: 1, created_at: 1, step: 0, steps: 5 },
  ...(pipeline === undefined ? {} : { pipeline }),
});

/** Jobs that need only earlier ones, as the coordinator orders them. */
const pipelines = fc
  .array(fc.array(fc.nat({ max: 30 }), { maxLength: 4 }), { minLength: 1, maxLength: 12 })
  .map((all) =>
    all.map((needs, i) => ({ name: `j${i}`, needs: [...new Set(needs.filter((need) => need < i))].map((need) => `j${need}`) })),
  );

describe("a pipeline", () => {
  it("a drawn job is right of all jobs that it needs, and no two jobs overlap", () => {
    fc.assert(
      fc.property(pipelines, (given) => {
        const { jobs, edges, columns, rows } = pipelineLayout(given);
        strictEqual(new Set(jobs.map(({ column, row }) => `${column} ${row}`)).size, given.length);
        strictEqual(
          edges.length,
          given.reduce((sum, { needs }) => sum + needs.length, 0),
        );
        for (const { from, to } of edges) ok(from.column < to.column);
        ok(jobs.every(({ column, row }) => column < columns && row >= 0 && row < rows));
      }),
    );
  });

  it("a job is in the row of the job that it needs, if the row is free", () => {
    const { jobs } = pipelineLayout([
      { name: "sft", needs: [] },
      { name: "reward", needs: ["sft"] },
      { name: "dpo", needs: ["sft"] },
      { name: "rl", needs: ["sft", "reward"] },
      { name: "compare", needs: ["dpo", "absent"] },
    ]);
    deepStrictEqual(
      jobs.map(({ name, column, row }) => [name, column, row]),
      [
        ["sft", 0, 0],
        ["reward", 1, 0],
        ["dpo", 1, 1],
        ["rl", 2, 0],
        ["compare", 2, 1],
      ],
    );
    deepStrictEqual(pipelineLayout([]), { columns: 0, rows: 0, jobs: [], edges: [] });
  });

  it("its state follows from the newest summaries of its runs", () => {
    const jobs = [
      { name: "a", run: "p-a", needs: [], summary: summary("p-a", "queued") },
      { name: "b", run: "p-b", needs: ["a"] },
    ];
    const now = (...received: JobSummary[]): string => pipelineState(withNewest({ jobs }, received));
    deepStrictEqual(
      [
        now(),
        now(summary("p-a", "running")),
        now(summary("p-a", "done"), summary("p-b", "queued")),
        now(summary("p-a", "done"), summary("p-b", "failed")),
      ],
      ["queued", "running", "running", "failed"],
    );
  });

  it("pipelinesOf counts the runs of each pipeline by state, and leaves out other runs", () => {
    const all = pipelinesOf([
      summary("p-b", "queued", "p"),
      summary("alone", "done"),
      summary("q-a", "done", "q"),
      summary("p-a", "queued", "p"),
    ]);
    deepStrictEqual(
      all.map(({ id, states }) => [id, [...states]]),
      [
        ["p", [["queued", 2]]],
        ["q", [["done", 1]]],
      ],
    );
  });
});
