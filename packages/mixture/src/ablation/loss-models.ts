import { leastSquares } from "./least-squares.js";

/** Shares of the sources, with the sum 1. */
export type MixtureShares = readonly number[];

export interface Observation {
  readonly shares: MixtureShares;
  readonly loss: number;
}

/** Predicts a loss from the shares of a mixture. */
export type LossModel = (shares: MixtureShares) => number;

interface ModelFamily {
  readonly name: string;
  fitModel(observations: readonly Observation[]): LossModel;
}

const ridge = 1e-4;

const linear: ModelFamily = { name: "linear", fitModel: (observations) => regression(observations, (shares) => shares) };

/** Shares and their products. */
const quadratic: ModelFamily = { name: "quadratic", fitModel: (observations) => regression(observations, products) };

/** c + exp(Σ t_j r_j), of "Data Mixing Laws" (arXiv 2403.16952). Because shares sum to 1, its factor k is a part of t. */
const exponential: ModelFamily = { name: "exponential", fitModel: fitExponential };

/** The exponential law, and a quadratic model of what it leaves. */
const exponentialAndProducts: ModelFamily = {
  name: "exponential with products",
  fitModel(observations) {
    const law = fitExponential(observations);
    const left = regression(
      observations.map(({ shares, loss }) => ({ shares, loss: loss - law(shares) })),
      products,
    );
    return (shares) => law(shares) + left(shares);
  },
};

const families: readonly ModelFamily[] = [linear, quadratic, exponential, exponentialAndProducts];

export interface ChosenModel {
  readonly name: string;
  readonly predict: LossModel;
  /** Root of the mean squared error of observations that the fit did not see. */
  readonly heldOutError: number;
}

/** Fits all models, and chooses the one with the smallest error on observations that its fit did not see. */
export function chooseModel(observations: readonly Observation[], folds = 8): ChosenModel {
  const scored = families.map((family) => ({ family, heldOutError: heldOutError(family, observations, folds) }));
  const best = scored.reduce((a, b) => (b.heldOutError < a.heldOutError ? b : a));
  return { name: best.family.name, predict: best.family.fitModel(observations), heldOutError: best.heldOutError };
}

function heldOutError({ fitModel }: ModelFamily, observations: readonly Observation[], folds: number): number {
  let squares = 0;
  for (let fold = 0; fold < folds; fold++) {
    const predict = fitModel(observations.filter((_, i) => i % folds !== fold));
    for (const [i, { shares, loss }] of observations.entries()) if (i % folds === fold) squares += (predict(shares) - loss) ** 2;
  }
  return Math.sqrt(squares / observations.length);
}

const products = (shares: MixtureShares): number[] => [...shares, ...shares.flatMap((a, i) => shares.slice(i).map((b) => a * b))];

function regression(observations: readonly Observation[], features: (shares: MixtureShares) => readonly number[]): LossModel {
  const mean = observations.reduce((sum, { loss }) => sum + loss, 0) / observations.length;
  const weights = leastSquares(
    observations.map(({ shares }) => features(shares)),
    observations.map(({ loss }) => loss - mean),
    ridge,
  );
  return (shares) => mean + dot(features(shares), weights);
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, each, i) => sum + each * (b[i] ?? 0), 0);

/** Levenberg and Marquardt: steps of damped least squares; the damping falls after a better step and rises after a worse one. */
function fitExponential(observations: readonly Observation[]): LossModel {
  const losses = observations.map(({ loss }) => loss);
  const lowest = Math.min(...losses);
  const sources = observations[0]?.shares.length ?? 0;
  const spread = Math.max(1e-6, Math.max(...losses) - lowest);
  let parameters = [lowest - spread, ...Array<number>(sources).fill(Math.log(2 * spread))];
  let error = squaredError(observations, parameters);
  let damping = 1e-2;
  for (let round = 0; round < 100 && damping < 1e8; round++) {
    const rows = observations.map(({ shares }) => {
      const power = Math.exp(dot(shares, parameters.slice(1)));
      return [1, ...shares.map((share) => share * power)];
    });
    const step = leastSquares(
      rows,
      observations.map(({ shares, loss }) => loss - exponentialLaw(shares, parameters)),
      damping,
    );
    const next = parameters.map((each, i) => each + (step[i] ?? 0));
    const nextError = squaredError(observations, next);
    if (!(nextError < error)) {
      damping *= 4;
      continue;
    }
    const isDone = error - nextError < 1e-12 * error;
    [parameters, error, damping] = [next, nextError, damping / 3 + 1e-9];
    if (isDone) break;
  }
  return (shares) => exponentialLaw(shares, parameters);
}

const exponentialLaw = (shares: MixtureShares, [constant = 0, ...exponents]: readonly number[]): number =>
  constant + Math.exp(dot(shares, exponents));

const squaredError = (observations: readonly Observation[], parameters: readonly number[]): number =>
  observations.reduce((sum, { shares, loss }) => sum + (loss - exponentialLaw(shares, parameters)) ** 2, 0);
