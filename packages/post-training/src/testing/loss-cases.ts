import { type GraphBuilder, sizeOf, type Tensor, tensor, type Value } from "@lapidary/ir";
import { ensure, type Random, seededRandom } from "@lapidary/std";
import { meanLoss } from "@lapidary/models";
import { gaeAdvantages, grpoAdvantages, type RolloutValues, rlooAdvantages } from "../losses/advantages.js";
import { rowSums } from "../losses/arithmetic.js";
import { tokenLogProbs } from "../losses/log-probs.js";
import { grpoLoss, ppoLoss, rlooLoss } from "../losses/policy.js";
import { dpoLoss, rewardLoss } from "../losses/preference.js";
import { rowScores } from "../programs/score-model.js";
import * as plain from "./plain-losses.js";

/** Rows, positions, vocabulary, rows of a group. */
const [B, T, V, G] = [6, 5, 7, 3];
const temperature = 0.7;

export type LossInputs = Readonly<Record<string, Tensor>>;

/** A loss as a graph and as loops over numbers. */
export interface LossCase {
  readonly name: string;
  readonly build: (g: GraphBuilder, input: (name: string) => Value) => Value;
  readonly plain: (inputs: LossInputs) => number;
  /** Inputs that the gradient flows to. */
  readonly differentiable: readonly string[];
  /** The loss with a known mistake, by the name of the mistake. */
  readonly mistakes: Readonly<Record<string, (inputs: LossInputs) => number>>;
}

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

/** Random inputs of all losses. Every row has a completion of at least one token, and rows differ in length. */
export function lossInputs(seed: number): LossInputs {
  const random = seededRandom(seed);
  const normals = (dims: readonly number[], scale: number): Tensor =>
    tensor(
      "f32",
      dims,
      Array.from({ length: sizeOf(dims) }, () => normal(random) * scale),
    );
  const logits = normals([B, T, V], 1.5);
  const targets = tensor(
    "i32",
    [B, T],
    Array.from({ length: B * T }, () => random.integer(V)),
  );
  const spans = Array.from({ length: B }, (_, row) => {
    const start = row === 0 ? 1 : random.integer(T - 1);
    return { start, end: row === 1 ? start + 1 : start + 1 + random.integer(T - start) };
  });
  const mask = tensor(
    "f32",
    [B, T],
    spans.flatMap(({ start, end }) => Array.from({ length: T }, (_, t) => (t >= start && t < end ? 1 : 0))),
  );
  const logps = plain.logProbsOf(rowsOf(logits), targets.data as unknown as number[], temperature);
  const near = (scale: number): Tensor =>
    tensor(
      "f32",
      [B, T],
      logps.map((x) => x + scale * normal(random)),
    );
  return {
    logits,
    targets,
    mask,
    // The second row does not count: its completion was cut off.
    counted: tensor(
      "f32",
      [B, T],
      mask.data.map((x, i) => (Math.floor(i / T) === 1 ? 0 : x)),
    ),
    oldLogps: near(0.6),
    referenceLogps: near(0.8),
    reference: normals([B], 2),
    scores: normals([B], 1),
    values: normals([B, T], 0.6),
    oldValues: normals([B, T], 0.6),
    tokenScores: normals([B, T], 1),
    last: tensor(
      "i32",
      [B],
      spans.map(({ end }) => end - 1),
    ),
    margin: normals([B / 2], 0.5),
  };
}

/** The last dim of an array as rows. */
function rowsOf({ dims, data }: Tensor): number[][] {
  const width = ensure(dims.at(-1), "width");
  return Array.from({ length: data.length / width }, (_, i) => [...data.slice(i * width, (i + 1) * width)]);
}

const get = (inputs: LossInputs, name: string): Tensor => ensure(inputs[name], name);
const matrix = (inputs: LossInputs, name: string): number[][] => rowsOf(get(inputs, name));
const vector = (inputs: LossInputs, name: string): number[] => [...get(inputs, name).data];
const logpsOf = (inputs: LossInputs, t = temperature): number[][] =>
  rowsOf(tensor("f32", [B, T], plain.logProbsOf(matrix(inputs, "logits"), vector(inputs, "targets"), t)));

const plainRollout = (inputs: LossInputs, t = temperature): plain.PlainRollout => ({
  logps: logpsOf(inputs, t),
  oldLogps: matrix(inputs, "oldLogps"),
  referenceLogps: matrix(inputs, "referenceLogps"),
  mask: matrix(inputs, "mask"),
  scores: vector(inputs, "scores"),
  generations: G,
});

type Input = (name: string) => Value;
const graphLogps = (g: GraphBuilder, input: Input, t = temperature): Value => tokenLogProbs(g, input("logits"), input("targets"), t);
const graphRollout = (input: Input): RolloutValues => ({
  scores: input("scores"),
  mask: input("mask"),
  oldLogps: input("oldLogps"),
  referenceLogps: input("referenceLogps"),
});
const policyOf = (g: GraphBuilder, input: Input): { logps: Value; oldLogps: Value; mask: Value } => ({
  logps: graphLogps(g, input),
  oldLogps: input("oldLogps"),
  mask: input("mask"),
});

/** The mistakes of a loss by name. */
const named = <M extends string>(names: readonly M[], loss: (inputs: LossInputs, mistake: M) => number): LossCase["mistakes"] =>
  Object.fromEntries(names.map((name) => [name, (inputs: LossInputs) => loss(inputs, name)]));

const sft: LossCase = {
  name: "sft",
  build: (g, input) => meanLoss(g, g.negate(graphLogps(g, input, 1)), input("mask")).loss,
  plain: (inputs) => plain.sftLoss(logpsOf(inputs, 1), matrix(inputs, "mask")),
  differentiable: ["logits"],
  mistakes: named<plain.SftMistake>(["mean of means", "prompts too"], (inputs, mistake) =>
    plain.sftLoss(logpsOf(inputs, 1), matrix(inputs, "mask"), mistake),
  ),
};

function rewardCase(center: number, mistakes: readonly plain.RewardMistake[]): LossCase {
  const loss = (inputs: LossInputs, mistake?: plain.RewardMistake): number =>
    plain.rewardLoss(matrix(inputs, "tokenScores"), { last: vector(inputs, "last"), margin: vector(inputs, "margin"), center }, mistake);
  return {
    name: `reward, center ${center}`,
    build: (g, input) => rewardLoss(g, rowScores(g, input("tokenScores"), input("last")), input("margin"), { center }).loss,
    plain: (inputs) => loss(inputs),
    differentiable: ["tokenScores"],
    mistakes: named(mistakes, loss),
  };
}

function dpoCase(settings: plain.PlainDpo): LossCase {
  const loss = (inputs: LossInputs, mistake?: plain.DpoMistake): number =>
    plain.dpoLoss(logpsOf(inputs, 1), matrix(inputs, "mask"), vector(inputs, "reference"), settings, mistake);
  return {
    name: `dpo, ${settings.loss}, smoothing ${settings.smoothing}`,
    build: (g, input) => {
      const logps = rowSums(g, g.multiply(graphLogps(g, input, 1), input("mask")));
      return dpoLoss(g, { logps, reference: input("reference"), tokens: rowSums(g, input("mask")) }, settings).loss;
    },
    plain: (inputs) => loss(inputs),
    differentiable: ["logits"],
    mistakes: named<plain.DpoMistake>(["no reference", "reference sign", "mean instead of sum", "labels swapped"], loss),
  };
}

const clip = { low: 0.2, high: 0.28 };

const rloo: LossCase = {
  name: "rloo",
  build: (g, input) => {
    const advantages = rlooAdvantages(g, graphRollout(input), { beta: 0.3, generations: G });
    return rlooLoss(g, policyOf(g, input), advantages, clip).loss;
  },
  plain: (inputs) => plain.rlooLoss(plainRollout(inputs), { beta: 0.3, clip }),
  differentiable: ["logits"],
  mistakes: {
    "missing temperature": (inputs) => plain.rlooLoss(plainRollout(inputs, 1), { beta: 0.3, clip }),
    ...named<plain.RlooMistake>(
      ["baseline includes the row", "reference sign", "strangers in a group", "ratios of tokens", "no clip"],
      (inputs, mistake) => plain.rlooLoss(plainRollout(inputs), { beta: 0.3, clip }, mistake),
    ),
  },
};

function grpoCase(reduction: plain.PlainGrpo["reduction"], klWeight: boolean): LossCase {
  const settings: plain.PlainGrpo = { beta: 0.2, clip, klWeight, reduction, maxNewTokens: T + 2 };
  const loss = (inputs: LossInputs, mistake?: plain.GrpoMistake): number =>
    plain.grpoLoss(plainRollout(inputs), matrix(inputs, "counted"), settings, mistake);
  return {
    name: `grpo, ${reduction}${klWeight ? ", KL weighted by the ratio" : ""}`,
    build: (g, input) => {
      const advantages = grpoAdvantages(g, input("scores"), G);
      const inputs = { advantages, referenceLogps: input("referenceLogps"), counted: input("counted") };
      return grpoLoss(g, policyOf(g, input), inputs, settings).loss;
    },
    plain: (inputs) => loss(inputs),
    differentiable: ["logits"],
    mistakes: {
      "missing temperature": (inputs) => plain.grpoLoss(plainRollout(inputs, 1), matrix(inputs, "counted"), settings),
      "rows without end count": (inputs) => plain.grpoLoss(plainRollout(inputs), matrix(inputs, "mask"), settings),
      "KL weight": (inputs) => plain.grpoLoss(plainRollout(inputs), matrix(inputs, "counted"), { ...settings, klWeight: !klWeight }),
      ...named<plain.GrpoMistake>(["population std", "no std", "reference sign", "other reduction", "no clip", "k1 instead of k3"], loss),
    },
  };
}

const ppoSettings: plain.PlainPpo = { klCoef: 0.1, gamma: 0.98, lambda: 0.9, clip, clipValue: 0.2, valueWeight: 0.5 };

const ppo: LossCase = {
  name: "ppo",
  build: (g, input) => {
    const { advantages, returns } = gaeAdvantages(g, graphRollout(input), input("oldValues"), ppoSettings);
    const critic = { advantages, returns, values: input("values"), oldValues: input("oldValues") };
    return ppoLoss(g, policyOf(g, input), critic, ppoSettings).loss;
  },
  plain: (inputs) => plain.ppoLoss(plainRollout(inputs), matrix(inputs, "values"), matrix(inputs, "oldValues"), ppoSettings),
  differentiable: ["logits", "values"],
  mistakes: {
    "missing temperature": (inputs) =>
      plain.ppoLoss(plainRollout(inputs, 1), matrix(inputs, "values"), matrix(inputs, "oldValues"), ppoSettings),
    ...named<plain.PpoMistake>(
      [
        "population variance",
        "returns of whitened advantages",
        "score in the last column",
        "reference sign",
        "no value clip",
        "advantages not whitened",
        "new values in the advantages",
      ],
      (inputs, mistake) => plain.ppoLoss(plainRollout(inputs), matrix(inputs, "values"), matrix(inputs, "oldValues"), ppoSettings, mistake),
    ),
  },
};

export const lossCases: readonly LossCase[] = [
  sft,
  rewardCase(0, ["last column", "margin added"]),
  rewardCase(0.1, ["last column", "margin added", "center of the difference"]),
  dpoCase({ beta: 0.3, loss: "sigmoid", smoothing: 0 }),
  dpoCase({ beta: 0.3, loss: "sigmoid", smoothing: 0.1 }),
  dpoCase({ beta: 0.3, loss: "ipo", smoothing: 0 }),
  rloo,
  grpoCase("grpo", false),
  grpoCase("grpo", true),
  grpoCase("dapo", false),
  grpoCase("bnpo", false),
  grpoCase("dr_grpo", false),
  ppo,
];
