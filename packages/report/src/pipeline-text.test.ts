import { strictEqual } from "node:assert/strict";
import type { JobSummary } from "@lapidary/api";
import { pipelineText } from "./pipeline-text.js";

describe("the text of a pipeline", () => {
  it("a table shows the state of each job, and what a waiting job waits for", () => {
    const summary: JobSummary = {
      ...{ id: "two-1-base", state: "running", priority: 0, model: "nano16", pod: "v5e-256", mesh: "data=16", chips: 16 },
      ...{ created_at: 0, step: 3, steps: 20, loss: 5.25 },
    };
    const { loss: _, ...waiting } = { ...summary, id: "two-1-tuned", state: "queued" as const, step: 0, waiting_for: ["two-1-base"] };
    const text = pipelineText({
      id: "two-1",
      state: "running",
      created_at: 0,
      jobs: [
        { name: "base", run: "two-1-base", needs: [], summary },
        { name: "tuned", run: "two-1-tuned", needs: ["base"], summary: waiting },
        { name: "gone", run: "two-1-gone", needs: [] },
      ],
    });
    strictEqual(
      text.replaceAll(/ +/g, " ").replaceAll(/ $/gm, ""),
      `pipeline two-1: running
job run state needs step loss
base two-1-base running 3/20 5.250
tuned two-1-tuned waiting for two-1-base base 0/20
gone two-1-gone removed`,
    );
  });
});
