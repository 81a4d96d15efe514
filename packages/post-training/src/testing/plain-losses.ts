import { ensure } from "@lapidary/std";

/**
 * The losses of post-training once more, as loops over numbers. They share no code with the graphs. Each function can contain known mistakes, which the
 * tests of the graphs must notice.
 */
export type Matrix = readonly (readonly number[])[];

const at = (values: readonly number[], index: number): number => ensure(values[index], "element");
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
const logSigmoid = (x: number): number => (x < 0 ? x - Math.log1p(Math.exp(x)) : -Math.log1p(Math.exp(-x)));
const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);
/** A number for each position of a row, 0 where the mask is 0. */
const maskedRow = (mask: readonly number[], of: (t: number) => number): number[] => mask.map((counted, t) => (counted === 1 ? of(t) : 0));

/** log softmax(logits / temperature)[target] of each row [V]. */
export function logProbsOf(logits: Matrix, targets: readonly number[], temperature: number): number[] {
  return logits.map((row, i) => {
    const scaled = row.map((x) => x / temperature);
    return at(scaled, at(targets, i)) - Math.log(sum(scaled.map(Math.exp)));
  });
}

export function entropyOf(row: readonly number[], temperature: number): number {
  const weights = row.map((x) => Math.exp(x / temperature));
  const total = sum(weights);
  return -sum(weights.map((w) => (w / total) * Math.log(w / total)));
}

/** Σ p log(p/q) of two rows of logits. */
export function klOf(row: readonly number[], other: readonly number[], temperature: number): number {
  const [p, q] = [row, other].map((each) => each.map((x) => Math.exp(x / temperature))) as [number[], number[]];
  return sum(p.map((w, i) => (w / sum(p)) * Math.log(w / sum(p) / (at(q, i) / sum(q)))));
}

export type SftMistake = "mean of means" | "prompts too";
export function sftLoss(logps: Matrix, mask: Matrix, mistake?: SftMistake): number {
  const counted = mistake === "prompts too" ? mask.map((row) => row.map(() => 1)) : mask;
  const rows = counted.map((row, i) => sum(maskedRow(row, (t) => -at(ensure(logps[i], "row"), t))));
  if (mistake === "mean of means") return mean(rows.map((loss, i) => loss / sum(ensure(counted[i], "row"))));
  return sum(rows) / sum(counted.map(sum));
}

export type RewardMistake = "last column" | "margin added" | "center of the difference";
export function rewardLoss(
  tokenScores: Matrix,
  { last, margin, center }: { readonly last: readonly number[]; readonly margin: readonly number[]; readonly center: number },
  mistake?: RewardMistake,
): number {
  const scores = tokenScores.map((row, i) => at(row, mistake === "last column" ? row.length - 1 : at(last, i)));
  return mean(
    margin.map((m, i) => {
      const [chosen, rejected] = [at(scores, i), at(scores, i + margin.length)];
      const penalty = mistake === "center of the difference" ? chosen - rejected : chosen + rejected;
      return -logSigmoid(chosen - rejected - (mistake === "margin added" ? -m : m)) + center * penalty ** 2;
    }),
  );
}

export type DpoMistake = "no reference" | "reference sign" | "mean instead of sum" | "labels swapped";
export interface PlainDpo {
  readonly beta: number;
  readonly loss: "sigmoid" | "ipo";
  readonly smoothing: number;
}
/** @param reference of each row, summed over the completion */
export function dpoLoss(logps: Matrix, mask: Matrix, reference: readonly number[], settings: PlainDpo, mistake?: DpoMistake): number {
  const ratios = logps.map((row, i) => {
    const tokens = sum(ensure(mask[i], "row"));
    const own = sum(maskedRow(ensure(mask[i], "row"), (t) => at(row, t)));
    const other = mistake === "no reference" ? 0 : mistake === "reference sign" ? -at(reference, i) : at(reference, i);
    const isMean = (settings.loss === "ipo") !== (mistake === "mean instead of sum");
    return (own - other) / (isMean ? tokens : 1);
  });
  const pairs = ratios.length / 2;
  return mean(
    Array.from({ length: pairs }, (_, i) => {
      const delta = (at(ratios, i) - at(ratios, i + pairs)) * (mistake === "labels swapped" ? -1 : 1);
      if (settings.loss === "ipo") return (delta - 1 / (2 * settings.beta)) ** 2;
      const scaled = settings.beta * delta;
      return -(1 - settings.smoothing) * logSigmoid(scaled) - settings.smoothing * logSigmoid(-scaled);
    }),
  );
}

/** What a rollout gave, and the log-probabilities under the policy that learns. */
export interface PlainRollout {
  readonly logps: Matrix;
  readonly oldLogps: Matrix;
  readonly referenceLogps: Matrix;
  readonly mask: Matrix;
  readonly scores: readonly number[];
  readonly generations: number;
}
export interface Clip {
  readonly low: number;
  readonly high: number;
}

const surrogate = (ratio: number, advantage: number, { low, high }: Clip): number =>
  -Math.min(ratio * advantage, clamp(ratio, 1 - low, 1 + high) * advantage);

export type RlooMistake = "baseline includes the row" | "reference sign" | "strangers in a group" | "ratios of tokens" | "no clip";
export function rlooLoss(
  rollout: PlainRollout,
  { beta, clip }: { readonly beta: number; readonly clip: Clip },
  mistake?: RlooMistake,
): number {
  const { logps, oldLogps, referenceLogps, mask, scores, generations: G } = rollout;
  const B = scores.length;
  const overRow = (i: number, of: (t: number) => number): number => sum(maskedRow(ensure(mask[i], "row"), of));
  const value = (matrix: Matrix, i: number, t: number): number => at(ensure(matrix[i], "row"), t);
  const returns = scores.map((score, i) => {
    const k1 = overRow(i, (t) => value(oldLogps, i, t) - value(referenceLogps, i, t));
    return score - beta * (mistake === "reference sign" ? -k1 : k1);
  });
  const groupOf = (i: number): number => (mistake === "strangers in a group" ? i % (B / G) : Math.floor(i / G));
  return mean(
    returns.map((own, i) => {
      const others = returns.filter((_, j) => groupOf(j) === groupOf(i) && (j !== i || mistake === "baseline includes the row"));
      const advantage = own - mean(others);
      const gap = (t: number): number => value(logps, i, t) - value(oldLogps, i, t);
      if (mistake === "ratios of tokens") return overRow(i, (t) => surrogate(Math.exp(gap(t)), advantage, clip)) / overRow(i, () => 1);
      return surrogate(Math.exp(overRow(i, gap)), advantage, mistake === "no clip" ? { low: 1, high: Infinity } : clip);
    }),
  );
}

export interface PlainGrpo {
  readonly beta: number;
  readonly clip: Clip;
  readonly klWeight: boolean;
  readonly reduction: "grpo" | "dapo" | "bnpo" | "dr_grpo";
  readonly maxNewTokens: number;
}
export type GrpoMistake = "population std" | "no std" | "reference sign" | "other reduction" | "no clip" | "k1 instead of k3";
export function grpoLoss(rollout: PlainRollout, counted: Matrix, settings: PlainGrpo, mistake?: GrpoMistake): number {
  const { logps, oldLogps, referenceLogps, scores, generations: G } = rollout;
  const { beta, klWeight, maxNewTokens } = settings;
  const clip = mistake === "no clip" ? { low: 1, high: Infinity } : settings.clip;
  const rows = scores.map((score, i) => {
    const group = scores.slice(Math.floor(i / G) * G, Math.floor(i / G) * G + G);
    const squares = sum(group.map((x) => (x - mean(group)) ** 2));
    const std = mistake === "no std" ? 1 : Math.sqrt(squares / (mistake === "population std" ? G : G - 1)) + 1e-4;
    const advantage = (score - mean(group)) / std;
    return maskedRow(ensure(counted[i], "row"), (t) => {
      const lp = at(ensure(logps[i], "row"), t);
      const ratio = Math.exp(lp - at(ensure(oldLogps[i], "row"), t));
      const gap = (at(ensure(referenceLogps[i], "row"), t) - lp) * (mistake === "reference sign" ? -1 : 1);
      const kl = mistake === "k1 instead of k3" ? -gap : Math.exp(gap) - gap - 1;
      return surrogate(ratio, advantage, clip) + beta * kl * (klWeight ? ratio : 1);
    });
  });
  const tokens = counted.map(sum);
  const reduction = mistake === "other reduction" ? (settings.reduction === "grpo" ? "dapo" : "grpo") : settings.reduction;
  if (reduction === "grpo") return mean(rows.map((row, i) => sum(row) / Math.max(1, at(tokens, i))));
  return sum(rows.map(sum)) / (reduction === "dr_grpo" ? rows.length * maxNewTokens : sum(tokens));
}

export interface PlainPpo {
  readonly klCoef: number;
  readonly gamma: number;
  readonly lambda: number;
  readonly clip: Clip;
  readonly clipValue: number;
  readonly valueWeight: number;
}
export type PpoMistake =
  | "population variance"
  | "returns of whitened advantages"
  | "score in the last column"
  | "reference sign"
  | "no value clip"
  | "advantages not whitened"
  | "new values in the advantages";
export function ppoLoss(rollout: PlainRollout, values: Matrix, oldValues: Matrix, settings: PlainPpo, mistake?: PpoMistake): number {
  const { logps, oldLogps, mask } = rollout;
  const gae = mask.map((row, i) =>
    advantagesOf(rollout, ensure((mistake === "new values in the advantages" ? values : oldValues)[i], "row"), i, settings, mistake),
  );
  const places = mask.flatMap((row, i) => row.flatMap((counted, t) => (counted === 1 ? [[i, t] as const] : [])));
  const value = (matrix: Matrix, [i, t]: readonly [number, number]): number => at(ensure(matrix[i], "row"), t);
  const all = places.map((place) => value(gae, place));
  const variance = sum(all.map((x) => (x - mean(all)) ** 2)) / (all.length - (mistake === "population variance" ? 0 : 1));
  const whitened = gae.map((row) =>
    row.map((x) => (mistake === "advantages not whitened" ? x : (x - mean(all)) / Math.sqrt(variance + 1e-8))),
  );
  const policy = places.map((place) =>
    surrogate(Math.exp(value(logps, place) - value(oldLogps, place)), value(whitened, place), settings.clip),
  );
  const critic = places.map((place) => {
    const [now, old] = [value(values, place), value(oldValues, place)];
    const target = value(mistake === "returns of whitened advantages" ? whitened : gae, place) + old;
    const clipped = old + clamp(now - old, -settings.clipValue, settings.clipValue);
    return Math.max((now - target) ** 2, mistake === "no value clip" ? 0 : (clipped - target) ** 2) / 2;
  });
  return mean(policy) + settings.valueWeight * mean(critic);
}

/** A_t = Σ_k (γλ)^k δ_{t+k} of one row, by its definition. */
function advantagesOf(
  { oldLogps, referenceLogps, mask, scores }: PlainRollout,
  values: readonly number[],
  i: number,
  { klCoef, gamma, lambda }: PlainPpo,
  mistake?: PpoMistake,
): number[] {
  const row = ensure(mask[i], "row");
  const end = mistake === "score in the last column" ? row.length - 1 : row.lastIndexOf(1);
  const v = (t: number): number => (row[t] === 1 ? at(values, t) : 0);
  const delta = maskedRow(row, (t) => {
    const k1 = at(ensure(oldLogps[i], "row"), t) - at(ensure(referenceLogps[i], "row"), t);
    const reward = -klCoef * (mistake === "reference sign" ? -k1 : k1) + (t === end ? at(scores, i) : 0);
    return reward + gamma * v(t + 1) - v(t);
  });
  return maskedRow(row, (t) => sum(delta.slice(t).map((d, k) => (gamma * lambda) ** k * d)));
}
