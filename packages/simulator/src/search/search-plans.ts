import { assert } from "@lapidary/std";

/** What is known of a plan after it was tried. */
interface TriedPlan<P> {
  readonly plan: P;
  /** For the work that all plans of a search share: a step of theirs, scaled to the same tokens. */
  readonly seconds: number;
  /** Of a chip, at the peak. */
  readonly hbmBytes: number;
}

export interface RankedPlan<P> extends TriedPlan<P> {
  readonly fits: boolean;
  /** No other plan is both faster and smaller. */
  readonly pareto: boolean;
}

export interface SearchOptions<P> {
  /** Where the search begins: all of them are tried. */
  readonly starts: readonly P[];
  /** Plans that differ in one thing. */
  readonly neighbours: (plan: P) => readonly P[];
  /** Equal plans have equal keys. */
  readonly key: (plan: P) => string;
  /** Cheap lower bounds: what cannot fit or cannot win is not tried. */
  readonly bound: (plan: P) => { readonly seconds: number; readonly hbmBytes: number };
  /** Tries a plan; undefined where it cannot be compiled. */
  readonly evaluate: (plan: P) => Omit<TriedPlan<P>, "plan"> | undefined;
  readonly hbmLimit: number;
  /** Plans to try, at most. */
  readonly budget: number;
  /** Hears of every trial; `false` ends the search with what is there. */
  readonly onProgress?: (tried: number, budget: number, best: TriedPlan<P> | undefined) => boolean | Promise<boolean>;
}

/**
 * Best-first search: all starts, then the neighbours of the best plan that has not been looked around yet, until the budget is used or no plan among the best has new
 * neighbours. Plans that fit come before those that do not, then time tells; of plans that do not fit, the smallest is the best. A plan is tried once.
 */
export async function searchPlans<P>(options: SearchOptions<P>): Promise<RankedPlan<P>[]> {
  const { key, bound, hbmLimit, budget } = options;
  const tried = new Map<string, TriedPlan<P> | undefined>();
  const expanded = new Set<string>();
  const good = (): TriedPlan<P>[] => [...tried.values()].filter((plan) => plan !== undefined).sort((a, b) => compare(a, b, hbmLimit));
  let trials = 0;

  const attempt = async (plan: P): Promise<boolean> => {
    if (tried.has(key(plan)) || trials >= budget) return trials < budget;
    const best = good()[0];
    const least = bound(plan);
    if (least.hbmBytes > hbmLimit || (best !== undefined && best.hbmBytes <= hbmLimit && least.seconds > best.seconds)) {
      tried.set(key(plan), undefined);
      return true;
    }
    trials++;
    const outcome = options.evaluate(plan);
    tried.set(key(plan), outcome === undefined ? undefined : { plan, ...outcome });
    if (outcome !== undefined)
      assert(outcome.seconds >= least.seconds * (1 - 1e-9), "no plan beats its bound", key(plan), outcome.seconds, least.seconds);
    return (await options.onProgress?.(trials, budget, good()[0])) ?? true;
  };

  for (const start of options.starts) if (!(await attempt(start))) return ranked(good(), hbmLimit);
  for (;;) {
    const next = good()
      .slice(0, 4)
      .find(({ plan }) => !expanded.has(key(plan)));
    if (next === undefined || trials >= budget) return ranked(good(), hbmLimit);
    expanded.add(key(next.plan));
    for (const neighbour of options.neighbours(next.plan)) if (!(await attempt(neighbour))) return ranked(good(), hbmLimit);
  }
}

function compare<P>(a: TriedPlan<P>, b: TriedPlan<P>, limit: number): number {
  const [fitsA, fitsB] = [a.hbmBytes <= limit, b.hbmBytes <= limit];
  if (fitsA !== fitsB) return fitsA ? -1 : 1;
  return fitsA ? a.seconds - b.seconds : a.hbmBytes - b.hbmBytes;
}

const ranked = <P>(plans: readonly TriedPlan<P>[], limit: number): RankedPlan<P>[] =>
  plans.map((plan) => ({
    ...plan,
    fits: plan.hbmBytes <= limit,
    pareto: !plans.some(
      (other) =>
        other !== plan &&
        other.seconds <= plan.seconds &&
        other.hbmBytes <= plan.hbmBytes &&
        (other.seconds < plan.seconds || other.hbmBytes < plan.hbmBytes),
    ),
  }));

/**
 * A step of many blocks from steps of few: time and memory grow by the same amount with every block once the pipeline is filled.
 *
 * @param few what a step of `fewBlocks` takes, `more` one of `moreBlocks`
 */
export function extrapolate(few: number, more: number, fewBlocks: number, moreBlocks: number, blocks: number): number {
  return more + ((more - few) / (moreBlocks - fewBlocks)) * (blocks - moreBlocks);
}
