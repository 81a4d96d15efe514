import { leastSquares } from "./least-squares.js";
import { chooseModel, type LossModel, type MixtureShares } from "./loss-models.js";

/** A trained model: its mixture, and its losses on held-out text by domain. */
export interface AblationRun {
  readonly size: string;
  readonly shares: MixtureShares;
  readonly losses: Readonly<Record<string, number>>;
}

export interface AblationFit {
  /** The predicted losses of the large size, weighted by domain. */
  readonly predict: LossModel;
  /** The chosen model of each domain and its error on runs that its fit did not see. */
  readonly models: Readonly<Record<string, { readonly name: string; readonly heldOutError: number }>>;
}

/**
 * Predicts losses of a large model from many small runs and a few large ones. The small runs give the form, one model for each domain. The large runs give
 * scale and offset of each domain.
 *
 * @param weights of the domains in the predicted loss
 */
export function fitAblation(
  runs: readonly AblationRun[],
  { small, large, weights }: { readonly small: string; readonly large: string; readonly weights: Readonly<Record<string, number>> },
): AblationFit {
  const ofSize = (size: string): readonly AblationRun[] => runs.filter((run) => run.size === size);
  const domains = Object.entries(weights).map(([domain, weight]) => {
    const observed = (run: AblationRun): { readonly shares: MixtureShares; readonly loss: number } => ({
      shares: run.shares,
      loss: run.losses[domain] ?? Number.NaN,
    });
    const model = chooseModel(ofSize(small).map(observed));
    const scale = lineThrough(ofSize(large).map((run) => [model.predict(run.shares), observed(run).loss]));
    return { domain, weight, model, predict: (shares: MixtureShares) => scale(model.predict(shares)) };
  });
  return {
    predict: (shares) => domains.reduce((sum, { weight, predict }) => sum + weight * predict(shares), 0),
    models: Object.fromEntries(domains.map(({ domain, model: { name, heldOutError } }) => [domain, { name, heldOutError }])),
  };
}

/** The line of least squares through points (x, y). */
function lineThrough(points: readonly (readonly [number, number])[]): (x: number) => number {
  const mean = (at: 0 | 1): number => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const [slope = 1] = leastSquares(
    points.map(([x]) => [x - meanX]),
    points.map(([, y]) => y - meanY),
    1e-9,
  );
  return (x) => meanY + slope * (x - meanX);
}
