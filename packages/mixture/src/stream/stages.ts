import { LapidaryError } from "@lapidary/std";

/** Weights of sources from a step on. */
export interface Stage {
  /** The first step, counted from 0. */
  readonly from: number;
  /** Steps in which the weights change linearly from those of the stage before; 0 by default. */
  readonly ramp?: number | undefined;
  /** Any positive scale; a source without a weight has 0. */
  readonly weights: Readonly<Record<string, number>>;
}

/** The shares of sources by step, as exact fractions. */
export interface Shares {
  readonly denominator: bigint;
  /** Numerators for one step, in the order of the sources. Their sum is the denominator. */
  at(step: number): readonly bigint[];
}

/** Decimal places of a weight that count. */
const places = 9;

/**
 * @param sources names, in the order of the result
 * @throws LapidaryError LAP_MIXTURE_STAGES
 */
export function sharesOf(sources: readonly string[], stages: readonly Stage[]): Shares {
  checkStages(sources, stages);
  const parts = stages.map(({ weights }) => integerWeights(sources, weights));
  const denominators = stages.map(({ ramp = 0 }, i) => {
    const own = sum(parts[i] ?? []);
    return ramp === 0 ? own : BigInt(ramp) * own * sum(parts[i - 1] ?? []);
  });
  const denominator = denominators.reduce(leastCommonMultiple, 1n);
  const scaled = (part: readonly bigint[], share: bigint): readonly bigint[] => part.map((weight) => (weight * share) / sum(part));
  return {
    denominator,
    at(step) {
      const number = stages.findLastIndex(({ from }) => from <= step);
      const [{ from = 0, ramp = 0 } = {}, now = []] = [stages[number], parts[number]];
      if (step >= from + ramp) return scaled(now, denominator);
      const done = (denominator / BigInt(ramp)) * BigInt(step - from);
      const before = scaled(parts[number - 1] ?? [], denominator - done);
      return scaled(now, done).map((share, i) => share + (before[i] ?? 0n));
    },
  };
}

/**
 * The weights of the first `steps` steps in one form: equal values mean equal rows, because rows of a step depend on the steps before it alone.
 */
export function historyOf(
  sources: readonly string[],
  stages: readonly Stage[],
  steps: number,
): readonly { readonly from: number; readonly ramp: number; readonly weights: readonly string[] }[] {
  const past = stages
    .filter(({ from }) => from < steps)
    .map(({ from, ramp = 0, weights }) => ({ from, ramp, weights: integerWeights(sources, weights).map(String) }));
  return past.filter(({ weights }, i) => weights.join() !== past[i - 1]?.weights.join());
}

function integerWeights(sources: readonly string[], weights: Readonly<Record<string, number>>): readonly bigint[] {
  const largest = Math.max(...Object.values(weights));
  const integers = sources.map((source) => BigInt(Math.round(((weights[source] ?? 0) / largest) * 10 ** places)));
  const exact = sources.map((source) => decimal(weights[source] ?? 0));
  const chosen = exact.every((each) => each !== undefined) ? exact : integers;
  const divisor = chosen.reduce(greatestCommonDivisor, 0n);
  return chosen.map((each) => each / divisor);
}

/** The weight times 10⁹, if that is an integer. */
function decimal(weight: number): bigint | undefined {
  const [whole = "", fraction = ""] = String(weight).split(".");
  if (!/^\d+$/.test(whole) || !/^\d*$/.test(fraction) || fraction.length > places) return undefined;
  return BigInt(whole + fraction.padEnd(places, "0"));
}

const sum = (values: readonly bigint[]): bigint => values.reduce((total, each) => total + each, 0n);

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : greatestCommonDivisor(b, a % b);
}

const leastCommonMultiple = (a: bigint, b: bigint): bigint => (a / greatestCommonDivisor(a, b)) * b;

function checkStages(sources: readonly string[], stages: readonly Stage[]): void {
  const remedy = "begin the first stage at step 0, and let each stage begin after the ramp of the stage before";
  if (stages[0]?.from !== 0) throw badStages("the first stage does not begin at step 0", remedy);
  for (const [i, { from, ramp = 0, weights }] of stages.entries()) {
    const before = stages[i - 1];
    if (!Number.isInteger(from) || !Number.isInteger(ramp) || ramp < 0) throw badStages(`stage ${i + 1} has no whole steps`, remedy);
    if (before === undefined ? ramp > 0 : from < before.from + Math.max(1, before.ramp ?? 0))
      throw badStages(`stage ${i + 1} begins within the stage before`, remedy);
    for (const [source, weight] of Object.entries(weights)) {
      if (!sources.includes(source))
        throw badStages(`stage ${i + 1} names the unknown source ${source}`, `the sources are ${sources.join(", ")}`);
      if (!(weight >= 0 && Number.isFinite(weight))) throw badStages(`the weight of ${source} is ${weight}`, "write numbers of at least 0");
    }
    if (!Object.values(weights).some((weight) => weight > 0))
      throw badStages(`stage ${i + 1} has no weight above 0`, "give a source a weight");
  }
}

const badStages = (message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_MIXTURE_STAGES", message, location: "mixture", remedy });
