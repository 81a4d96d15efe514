/** What the metrics of recipes mean. Pure functions, for every program that shows metrics. */

const metricKinds = ["heldout", "reward", "kl", "completions", "preference", "ratio", "value", "experts", "time", "other"] as const;
export type MetricKind = (typeof metricKinds)[number];

/** `score` has the unit of the rewards. `number` has none. */
export type MetricUnit = "score" | "nats" | "share" | "tokens" | "tokens/s" | "seconds" | "milliseconds" | "number";

export interface MetricInfo {
  readonly name: string;
  readonly kind: MetricKind;
  readonly title: string;
  readonly unit: MetricUnit;
  /** One sentence. */
  readonly meaning: string;
}

interface Rule {
  /** Matches whole names. `{1}` in title and meaning is its first group. */
  readonly name: RegExp;
  readonly kind: MetricKind;
  readonly title: string;
  readonly unit: MetricUnit;
  readonly meaning: string;
}

const rule = (name: string, kind: MetricKind, title: string, unit: MetricUnit, meaning: string): Rule => ({
  name: new RegExp(`^(?:${name})$`),
  kind,
  title,
  unit,
  meaning,
});

/** The first rule that matches a name decides. A recipe of a user has the same charts if its metrics have these names. */
const rules: readonly Rule[] = [
  rule("heldout_loss\\.(.+)", "heldout", "Held-out loss, {1}", "nats", "Loss of held-out documents of the source {1}."),
  rule("seconds_(.+)", "time", "Time of {1}", "seconds", "The part of the step that {1} takes."),
  rule("(.+)_ms", "time", "Time of {1}", "milliseconds", "The part of the step that {1} takes."),
  rule("(?:tokens_per_s_(.+)|(.+)_tokens_per_s)", "time", "Tokens per second of {1}", "tokens/s", "Tokens that {1} computes in a second."),
  rule("accuracy", "preference", "Accuracy", "share", "Share of pairs in which the chosen answer has the higher reward."),
  rule("accuracy_(.+)", "preference", "Accuracy, {1}", "share", "Accuracy on the pairs of this part: {1}."),
  rule("margin(?:_mean)?", "preference", "Margin", "score", "Mean reward of the chosen answer minus that of the rejected answer."),
  rule("margin_(.+)", "preference", "Margin, {1}", "score", "Margin on the pairs of this part: {1}."),
  rule(
    "rewards?_(chosen|rejected)(?:_mean)?|(chosen|rejected)_rewards?",
    "preference",
    "Reward, {1}",
    "score",
    "Mean reward of the {1} answers.",
  ),
  rule(
    "log_?p(?:rob)?s?_(chosen|rejected)(?:_mean)?|(chosen|rejected)_log_?p(?:rob)?s?",
    "preference",
    "Log-probability, {1}",
    "nats",
    "Mean log-probability of the {1} answers under the policy.",
  ),
  rule("score_(chosen|rejected)", "preference", "Score, {1}", "score", "Mean score of the {1} answers."),
  rule("score_mean", "preference", "Score, mean", "score", "Mean score of all answers."),
  rule("score_std", "preference", "Score, spread", "score", "Standard deviation of the scores of all answers."),
  rule("equal_scores", "preference", "Equal scores", "share", "Share of pairs whose answers have the same score."),
  rule(
    "length_correlation",
    "preference",
    "Correlation with length",
    "number",
    "Correlation of the score of an answer with its length; a large one means that length decides.",
  ),
  rule("reward|reward_mean", "reward", "Reward", "score", "Mean score of the completions of a step: all sources with their weights."),
  rule("reward_std", "reward", "Spread of the reward", "score", "Standard deviation of the scores of a step."),
  rule("reward_(.+)_std", "reward", "Spread of {1}", "score", "Standard deviation of the scores of the source {1}."),
  rule("reward_heldout|heldout_reward", "reward", "Held-out reward", "score", "Mean score of completions of held-out prompts."),
  rule("reward_(.+)", "reward", "Reward of {1}", "score", "Mean score of the source {1}, without its weight."),
  rule(
    "flat_groups",
    "reward",
    "Groups without spread",
    "share",
    "Share of prompts whose completions have equal scores, so that they train nothing.",
  ),
  rule(
    "check",
    "reward",
    "Check",
    "score",
    "Mean score of the checker of evaluations, which trains nothing; a reward that rises without it may be hacked.",
  ),
  rule("check_std", "reward", "Spread of the check", "score", "Standard deviation of the scores of the checker of evaluations."),
  rule("kl|kl_full", "kl", "KL to the reference", "nats", "Mean KL of policy and reference at a token, over the whole vocabulary."),
  rule("kl_completion", "kl", "KL of a completion", "nats", "Mean over completions of the sum of the KL at their tokens."),
  rule("(?:kl_)?(k[123])", "kl", "KL, estimate {1}", "nats", "The estimator {1} of the KL at a token, from the drawn tokens."),
  rule(
    "kl_old|approx(?:imate)?_kl",
    "kl",
    "KL to the old policy",
    "nats",
    "Estimate of the KL of the policy before the updates and after them.",
  ),
  rule("kl_(.+)", "kl", "KL, {1}", "nats", "KL to the reference at a token: {1}."),
  rule(
    "entropy",
    "completions",
    "Entropy",
    "nats",
    "Mean entropy of the policy at a token; near 0, all completions of a prompt are equal.",
  ),
  rule("completions", "completions", "Completions", "number", "Completions of an evaluation."),
  rule("length|length_mean", "completions", "Length", "tokens", "Mean tokens of a completion, its stop token included."),
  rule("length_max", "completions", "Longest completion", "tokens", "Tokens of the longest completion of a step."),
  rule("length_(.+)", "completions", "Length, {1}", "tokens", "Tokens of completions: {1}."),
  rule("cut_off", "completions", "Cut off", "share", "Share of completions without a stop token within the maximum length."),
  rule("stopped", "completions", "Stopped", "share", "Share of completions that end with a stop token."),
  rule(
    "(?:ended_by|stopped_by|stop|stopped)_(.+)",
    "completions",
    "Ended by {1}",
    "share",
    "Share of completions that end with the token {1}.",
  ),
  rule(
    "ratio_mean",
    "ratio",
    "Ratio, mean",
    "number",
    "Mean probability of a completion or token under the new policy, divided by that under the old policy.",
  ),
  rule("ratio_max", "ratio", "Ratio, maximum", "number", "Largest ratio of new to old probability in a step."),
  rule(
    "(?:clip|clip_fraction)(?:_(low|high))",
    "ratio",
    "Clipped, {1}",
    "share",
    "Share of ratios whose gradient the {1} clip bound removes.",
  ),
  rule("clip_fraction|clipped", "ratio", "Clipped", "share", "Share of ratios whose gradient the clip bounds remove."),
  rule(
    "log_prob_gap(?:_max)?",
    "ratio",
    "Log-probability gap",
    "nats",
    "Largest difference of log-probabilities of sampler and trainer, which should agree.",
  ),
  rule(
    "log_prob_gap_mean",
    "ratio",
    "Log-probability gap, mean",
    "nats",
    "Mean difference of the log-probabilities of sampler and trainer.",
  ),
  rule(
    "expert_dropped_share",
    "experts",
    "Dropped choices",
    "share",
    "Share of the choices of experts that no expert computes, because its buffer is full.",
  ),
  rule("expert_tokens\\.(\\d+)", "experts", "Choices of expert {1}", "tokens", "Tokens that chose expert {1}, over all layers."),
  rule(
    "expert_dropped\\.(\\d+)",
    "experts",
    "Dropped by expert {1}",
    "tokens",
    "Tokens that chose expert {1} and that it does not compute.",
  ),
  rule("value_loss", "value", "Value loss", "number", "Squared error of the value model."),
  rule(
    "explained_variance",
    "value",
    "Explained variance",
    "number",
    "1: the value model predicts the returns; 0: it predicts no better than their mean.",
  ),
  rule("value_clip(?:_fraction)?", "value", "Values clipped", "share", "Share of values that the clip bound changes."),
  rule("values?_(.+)", "value", "Value, {1}", "number", "A metric of the value model: {1}."),
];

/** The words of a name: `share_of_jokes` → `share of jokes`. */
const wordsOf = (name: string): string => name.replaceAll("_", " ").trim();

/** A part of the pairs by length, such as `shorter_1_16`, else the words of a name. */
function partText(part: string): string {
  const [, side, from, to] = /^(shorter|longer)_(\d+)(?:_(\d+))?$/.exec(part) ?? [];
  return side === undefined ? wordsOf(part) : `chosen ${side} by ${from}${to === undefined ? " or more" : ` to ${to}`} tokens`;
}

const capitalized = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;

export function metricInfo(name: string): MetricInfo {
  for (const { name: pattern, kind, title, unit, meaning } of rules) {
    const match = pattern.exec(name);
    if (match === null) continue;
    const part = partText(match.slice(1).find((group) => group !== undefined) ?? "");
    // A function, because `$&` has a meaning in a replacement text.
    const filled = (text: string): string => text.replaceAll("{1}", () => part).trim();
    return { name, kind, title: filled(title), unit, meaning: filled(meaning) };
  }
  return {
    name,
    kind: "other",
    title: capitalized(wordsOf(name)) || name,
    unit: "number",
    meaning: `A metric of the recipe: ${name}.`,
  };
}

const kindTitles: Readonly<Record<MetricKind, readonly [title: string, about: string]>> = {
  heldout: ["Held-out loss by source", "How well the model predicts documents of each source that it has not seen."],
  reward: ["Reward", "What the policy is trained to increase."],
  kl: ["KL", "How far the policy is from the reference. A reward that rises with a large KL may be hacked."],
  completions: ["Completions", "What the policy writes."],
  preference: ["Preferences", "How well chosen and rejected answers are told apart."],
  ratio: ["Ratios", "How far one update moves the policy, and what the clip bounds remove."],
  value: ["Value model", "How well the returns are predicted."],
  experts: ["Experts", "How evenly the router loads the experts of a mixture, and what they drop."],
  time: ["Time", "Where a step spends its time."],
  other: ["Other metrics", "Metrics of the recipe without a known meaning."],
};

export interface MetricGroup {
  readonly kind: MetricKind;
  readonly title: string;
  readonly about: string;
  /** In the order of the rules; unknown metrics by name. */
  readonly metrics: readonly MetricInfo[];
}

/** The metrics by kind. Every name is in exactly one group. */
export function metricGroups(names: readonly string[]): MetricGroup[] {
  const infos = [...new Set(names)].map(metricInfo);
  return metricKinds.flatMap((kind) => {
    const metrics = infos
      .filter((info) => info.kind === kind)
      .sort((a, b) => rankOf(a.name) - rankOf(b.name) || compareNames(a.name, b.name));
    const [title, about] = kindTitles[kind];
    return metrics.length === 0 ? [] : [{ kind, title, about, metrics }];
  });
}

const rankOf = (name: string): number => {
  const at = rules.findIndex((each) => each.name.test(name));
  return at < 0 ? rules.length : at;
};

/** Numbers at the end of names in their order: expert 10 follows expert 9. */
function compareNames(a: string, b: string): number {
  const [, headA = a, endA = ""] = /^(.*\.)(\d+)$/.exec(a) ?? [];
  const [, headB = b, endB = ""] = /^(.*\.)(\d+)$/.exec(b) ?? [];
  return headA === headB ? Number(endA) - Number(endB) : headA < headB ? -1 : 1;
}

/** `prefill_ms` or `seconds_prefill`. */
const phaseName = /^(?:seconds_(.+)|(.+)_ms)$/;
/** The order of the phases of a step of rl; other phases follow in their own order. */
const phases = ["prefill", "decode", "score", "reference", "update"];

/** A metric that is the time of one phase of a step. */
export interface PhaseMetric {
  readonly metric: string;
  readonly phase: string;
  /** Milliseconds of one unit of the metric. */
  readonly unit_ms: number;
}

/** The metrics that divide the time of a step, in the order in which a step computes the phases. */
export function phaseMetrics(names: readonly string[]): PhaseMetric[] {
  const found = names.flatMap((metric): PhaseMetric[] => {
    const [, inSeconds, inMillis] = phaseName.exec(metric) ?? [];
    const phase = inSeconds ?? inMillis;
    // The time of the whole step is not one of its phases.
    if (phase === undefined || phase === "total" || phase === "step") return [];
    return [{ metric, phase: wordsOf(phase), unit_ms: inSeconds === undefined ? 1 : 1000 }];
  });
  const rank = ({ phase }: PhaseMetric): number => (phases.includes(phase) ? phases.indexOf(phase) : phases.length);
  return found.sort((a, b) => rank(a) - rank(b));
}
