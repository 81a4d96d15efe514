import { strictEqual } from "node:assert/strict";
import type { JobSummary } from "@lapidary/api";
import { pipelineText, resultText } from "./pipeline-text.js";

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

  it("a second table has the comparisons with the KL and the best policy", () => {
    const model = { directory: "/c", step: 3, architecture: "Gemma", form: "turns" as const, context: 28 };
    const result = {
      ...{ wins: 3, ties: 0, losses: 1, n: 4, rate: 0.75, normal95: [0.326, 1.174] as const, wilson95: [0.3, 0.95] as const },
      ...{ sign_test_p: 0.6, scores: { candidate: 0.8, baseline: 0.35 }, equal_answers: 0, contradictions: null },
      ...{ contradiction_share: null, first_share: null, mean_mass: null, winner_mean_length: 5, loser_mean_length: 5, longer_share: 0 },
    };
    const set = {
      ...{ data: "held.jsonl", prompts: 4, unjudged: 0, unjudged_reason: null, refused: [], result, result_by_subset: {}, answers: null },
      divergence: { nats_per_answer: 0.4321, standard_error: 0.01 },
      optimum: { beta: 0.5, baseline_probability: 0.34, accuracy: 0.792, kl: 0.42 },
      ...{ loss: null, unmeasured: 0, loss_by_subset: {}, samples: [] },
    };
    const report = {
      ...{ id: "p-1-compare", model: "sort5", parameters: 1, chips: 256, workers: 2, mesh: "data=16,model=16", zero: 3, warnings: [] },
      ...{ slice: { pod: 0, pods: 1, origin: [0, 0], dims: [16, 16] }, answers: "/r/answers.jsonl", text: "", total_ms: 1 },
      comparison: {
        candidate: { ...model, name: "p-1-rl", run: "p-1-rl" },
        baseline: { ...model, name: "/sft", run: null },
        source: { kind: "checker" as const, checker: "sorted" },
        ...{ seed: 0, temperature: 1, max_tokens: 7, sets: [set], warnings: [] },
      },
    };
    const text = pipelineText({ id: "p-1", state: "done", created_at: 0, jobs: [] }, [{ name: "compare", report }]);
    strictEqual(
      text.split("\n\n")[1]?.replaceAll(/ +/g, " "),
      `comparison candidate baseline win rate 95 % score of baseline best score KL best KL
compare p-1-rl /sft 0.750 0.326 – 1.174 0.800 0.350 0.792 0.432 0.420`,
    );
    strictEqual(resultText(report), "win rate 0.750, report /r/comparison.txt");
  });
});
