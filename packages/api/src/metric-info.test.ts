import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { metricGroups, metricInfo, phaseMetrics } from "./metric-info.js";

/** The metrics of the recipes rl, reward and dpo. */
const rl = ["reward", "reward_std", "reward_checker_0", "flat_groups", "kl", "kl_completion", "kl_k1", "kl_k3", "entropy", "ratio_mean"];
const rlMore = [
  "ratio_max",
  "clip_low",
  "clip_high",
  "log_prob_gap",
  "log_prob_gap_mean",
  "length",
  "length_max",
  "cut_off",
  "check",
  "check_std",
  "completions",
];
const values = ["stopped_end_of_turn", "stopped_eos", "value_loss", "value_clip", "explained_variance", "rollout_tokens_per_s"];
const pairs = ["accuracy", "margin", "margin_std", "equal_scores", "length_correlation", "accuracy_shorter_1_16", "score_chosen"];
const dpo = ["reward_chosen", "reward_rejected", "logp_chosen", "logp_rejected", "margin_mean"];

describe("what metrics mean", () => {
  it("every metric of the recipes has a kind, and its meaning is one sentence", () => {
    for (const name of [...rl, ...rlMore, ...values, ...pairs, ...dpo]) {
      const { kind, title, meaning } = metricInfo(name);
      ok(kind !== "other", name);
      ok(title.length > 1 && !/[_{}]/.test(title), title);
      match(meaning, /^[A-Z0-9][^{}_]+\.$/);
    }
  });

  it("rewards of chosen and rejected answers count as preferences, and rewards of sources as rewards", () => {
    const kinds = ["reward_chosen", "reward_checker", "score_rejected", "length_correlation", "length_max"].map(
      (name) => metricInfo(name).kind,
    );
    deepStrictEqual(kinds, ["preference", "reward", "preference", "preference", "completions"]);
    strictEqual(metricInfo("accuracy_shorter_1_16").title, "Accuracy, chosen shorter by 1 to 16 tokens");
    strictEqual(metricInfo("accuracy_longer_65").title, "Accuracy, chosen longer by 65 or more tokens");
  });

  it("an unknown metric of a recipe of a user keeps its name", () => {
    const info = metricInfo("share_of_jokes");
    deepStrictEqual([info.kind, info.title, info.unit], ["other", "Share of jokes", "number"]);
    match(info.meaning, /share_of_jokes/);
  });

  it("every name is in exactly one group, whatever the names are", () => {
    const names = fc.array(fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom(...rl, ...pairs, "__proto__", "constructor", "$&")));
    fc.assert(
      fc.property(names, (given) => {
        const grouped = metricGroups(given).flatMap(({ metrics }) => metrics.map(({ name }) => name));
        deepStrictEqual([...grouped].sort(), [...new Set(given)].sort());
      }),
    );
  });

  it("groups and their metrics have a fixed order, whatever the order of the names is", () => {
    const groups = metricGroups([...dpo, "zzz", "aaa", ...rlMore, ...rl]);
    deepStrictEqual(
      groups.map(({ kind }) => kind),
      ["reward", "kl", "completions", "preference", "ratio", "other"],
    );
    deepStrictEqual(
      groups[0]?.metrics.slice(0, 2).map(({ name }) => name),
      ["reward", "reward_std"],
    );
    deepStrictEqual(
      groups.at(-1)?.metrics.map(({ name }) => name),
      ["aaa", "zzz"],
    );
  });

  it("the phases of a step are in the order of the step, and the time of the whole step is not one of them", () => {
    deepStrictEqual(phaseMetrics(["update_ms", "step_ms", "judge_ms", "decode_ms", "reward", "seconds_prefill", "seconds_total"]), [
      { metric: "seconds_prefill", phase: "prefill", unit_ms: 1000 },
      { metric: "decode_ms", phase: "decode", unit_ms: 1 },
      { metric: "update_ms", phase: "update", unit_ms: 1 },
      { metric: "judge_ms", phase: "judge", unit_ms: 1 },
    ]);
  });
});
