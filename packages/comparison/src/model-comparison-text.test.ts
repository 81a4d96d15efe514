import { match, ok, strictEqual } from "node:assert/strict";
import type { ModelComparison, SetReport, WinReport } from "@lapidary/api";
import { modelComparisonText } from "./model-comparison-text.js";

const model = (name: string): ModelComparison["candidate"] => ({
  name,
  directory: `/models/${name}`,
  run: null,
  step: null,
  architecture: "Gemma",
  form: "turns",
  context: 64,
});

const result: WinReport = {
  wins: 30,
  ties: 5,
  losses: 5,
  n: 40,
  rate: 0.8125,
  normal95: [0.71, 0.92],
  wilson95: [0.66, 0.9],
  sign_test_p: 2.4e-5,
  scores: null,
  equal_answers: 2,
  contradictions: 3,
  contradiction_share: 0.0789,
  first_share: 0.52,
  mean_mass: 0.97,
  winner_mean_length: 20,
  loser_mean_length: 24,
  longer_share: 0.4,
};

const set: SetReport = {
  data: "held.jsonl",
  prompts: 40,
  unjudged: 0,
  unjudged_reason: null,
  refused: [],
  result,
  result_by_subset: { safety: { ...result, wins: 1, ties: 0, losses: 0, n: 1, sign_test_p: 1 } },
  answers: {
    candidate: { mean_length: 20, mean_tokens: 6, cut_off_share: 0 },
    baseline: { mean_length: 24, mean_tokens: 7, cut_off_share: 0.025 },
  },
  divergence: null,
  optimum: null,
  loss: { candidate: 1.5, baseline: 1.25, candidate_tokens: 900, baseline_tokens: 900 },
  unmeasured: 0,
  loss_by_subset: {},
  samples: [{ id: "held.jsonl:1", prompt: "Say\x1b[2J hello", candidate: "hello", baseline: "no", outcome: "win" }],
};

const report = (sets: readonly SetReport[]): ModelComparison => ({
  candidate: { ...model("mine"), run: "mine", step: 150 },
  baseline: model("gemma-2b"),
  source: { kind: "judge", judge: model("big"), template: "default", orders: "both" },
  seed: 0,
  temperature: 0,
  max_tokens: 128,
  sets,
  warnings: [],
});

const textOf = (...sets: readonly SetReport[]): string => modelComparisonText(report(sets), 80);

describe("the text of a comparison of models", () => {
  it("it names the models and the judge, and has a row for all prompts and for each subset", () => {
    const text = textOf(set);
    match(text, /^candidate {2}mine, step 150\nbaseline {3}gemma-2b\nverdicts {3}judge big, template default, both orders\n/);
    match(text, /held\.jsonl: 40 prompts/);
    match(text, /all +30 +5 +5 +0\.813 +0\.710 – 0\.920 +0\.660 – 0\.900 +2\.4e-5/);
    match(text, /safety +1 +0 +0 /);
    match(text, /contradictions after a swap of the answers: 3 \(7\.9 %\)/);
    match(text, /share of the first position: 52\.0 %/);
    match(text, /all +1\.5000 +1\.2500 +\+0\.2500 +900/);
  });

  it("the interval of Wilson decides which model is better", () => {
    const withInterval = (wilson95: readonly [number, number]): string => textOf({ ...set, result: { ...result, wilson95 } });
    ok(textOf(set).includes("The candidate is better"));
    ok(withInterval([0.1, 0.4]).includes("The baseline is better"));
    ok(withInterval([0.4, 0.6]).includes("The result does not decide"));
  });

  it("control characters of prompts and answers are replaced", () => ok(!textOf(set).includes("\x1b")));

  it("a file of texts has only losses", () => {
    const texts = { ...set, prompts: 0, result: null, result_by_subset: {}, answers: null, samples: [] };
    const [, section = ""] = textOf(texts).split("\n\n");
    strictEqual(section, "held.jsonl");
    ok(!textOf(texts).includes("win rate"));
  });
});
