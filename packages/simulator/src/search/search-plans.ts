import { assert } from "@lapidary/std";

/** The prediction for a plan that was tried. */
interface TriedPlan<P> {
  readonly plan: P;
  /** Time of a step, scaled to the same number of tokens for all plans of a search. */
  readonly seconds: number;
  /** Peak memory of a chip. */
  readonly hbmBytes: number;
}

export interface RankedPlan<P> extends TriedPlan<P> {
  readonly fits: boolean;
  /** No other plan is both faster and smaller. */
  readonly pareto: boolean;
}

export interface SearchOptions<P> {
  /** The first plans, which are all tried. */
  readonly starts: readonly P[];
  /** Plans that differ in one property. */
  readonly neighbours: (plan: P) => readonly P[];
  /** Equal plans have equal keys. */
  readonly key: (plan: P) => string;
  /** Cheap lower bounds. A plan that cannot fit, or cannot be the fastest, is not tried. */
  readonly bound: (plan: P) => { readonly seconds: number; readonly hbmBytes: number };
  /** Tries a plan; undefined if it does not compile. */
  readonly evaluate: (plan: P) => Omit<TriedPlan<P>, "plan"> | undefined;
  readonly hbmLimit: number;
  /** Maximum number of plans to try. */
  readonly budget: number;
  /** Called after every trial; `false` ends the search with the plans that were tried. */
  readonly onProgress?: (tried: number, budget: number, best: TriedPlan<P> | undefined) => boolean | Promise<boolean>;
}

/**
 * Best-first search: it tries all starts, then the neighbours of the best plan that has not been expanded, until the budget is used
 * or the four best plans are expanded. Plans that fit are ranked before those that do not, and then by time. Plans that do not fit
 * are ranked by memory. Each plan is tried once.
 */
export async function searchPlans<P>(options: SearchOptions<P>): Promise<RankedPlan<P>[]> {
  const { key, bound, hbmLimit, budget } = options;
  const tried = new Map<string, TriedPlan<P> | undefined>();
  const expanded = new Set<string>();
  const compiled = (): TriedPlan<P>[] => [...tried.values()].filter((plan) => plan !== undefined).sort((a, b) => compare(a, b, hbmLimit));
  let trials = 0;

  const attempt = async (plan: P): Promise<boolean> => {
    if (tried.has(key(plan)) || trials >= budget) return trials < budget;
    const best = compiled()[0];
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
    return (await options.onProgress?.(trials, budget, compiled()[0])) ?? true;
  };

  for (const start of options.starts) if (!(await attempt(start))) return ranked(compiled(), hbmLimit);
  for (;;) {
    const next = compiled()
      .slice(0, 4)
      .find(({ plan }) => !expanded.has(key(plan)));
    if (next === undefined || trials >= budget) return ranked(compiled(), hbmLimit);
    expanded.add(key(next.plan));
    for (const neighbour of options.neighbours(next.plan)) if (!(await attempt(neighbour))) return ranked(compiled(), hbmLimit);
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
 * Time or memory of a step of `blocks` blocks, from two steps with fewer blocks. Both grow linearly with the number of blocks.
 *
 * @param few value of a step of `fewBlocks`
 * @param more value of a step of `moreBlocks`
 */
export function extrapolate(few: number, more: number, fewBlocks: number, moreBlocks: number, blocks: number): number {
  return more + ((more - few) / (moreBlocks - fewBlocks)) * (blocks - moreBlocks);
}
