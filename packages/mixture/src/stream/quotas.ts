import type { Shares } from "./stages.js";

/** The rows of each source in one step, and in all steps before it. */
export interface StepQuota {
  readonly counts: readonly number[];
  readonly before: readonly number[];
}

interface State {
  readonly step: number;
  readonly before: readonly number[];
  /** Rows that a source is behind its share, times the denominator. */
  readonly carry: readonly bigint[];
}

/** Steps between two states that are kept. */
const snapshotEvery = 256;

/**
 * How many rows of a batch come from each source. After every step the rows of a source differ from its share by less than one, as long as weights are
 * constant.
 *
 * Arithmetic is that of integers, so a step has one answer on every machine. A step is computed from the nearest state before it; states are kept every
 * 256 steps.
 */
export class Quotas {
  readonly #shares: Shares;
  readonly #batch: number;
  readonly #snapshots: State[];
  #last: State;
  /** Of the step of `#last`. */
  #quota: StepQuota | undefined;

  constructor(shares: Shares, batch: number) {
    const sources = shares.at(0).length;
    [this.#shares, this.#batch] = [shares, batch];
    this.#last = { step: 0, before: Array<number>(sources).fill(0), carry: Array<bigint>(sources).fill(0n) };
    this.#snapshots = [this.#last];
  }

  /** All rows of a step ask for it, so the quota of the last step is kept. */
  at(step: number): StepQuota {
    if (this.#quota === undefined || this.#last.step !== step) {
      this.#last = this.#stateAt(step);
      this.#quota = { counts: this.#next(this.#last).counts, before: this.#last.before };
    }
    return this.#quota;
  }

  #stateAt(step: number): State {
    const snapshot = this.#snapshots[Math.min(Math.floor(step / snapshotEvery), this.#snapshots.length - 1)];
    const isLastNearer = snapshot === undefined || (this.#last.step <= step && this.#last.step >= snapshot.step);
    let state = isLastNearer ? this.#last : snapshot;
    while (state.step < step) {
      state = this.#next(state).state;
      if (state.step === this.#snapshots.length * snapshotEvery) this.#snapshots.push(state);
    }
    return state;
  }

  /**
   * The whole rows that each source is due come first. Of the sources that are due a part of a row more, those whose row is complete the earliest get it
   * now: earliest deadline first, which meets every deadline that any order meets. With constant weights some order does (pfair scheduling, Baruah et
   * al. 1996). A deadline assumes that weights stay as they are, because rows must not depend on weights of later steps.
   */
  #next({ step, before, carry }: State): { readonly counts: readonly number[]; readonly state: State } {
    const { denominator } = this.#shares;
    const shares = this.#shares.at(step);
    const wanted = shares.map((share, i) => share * BigInt(this.#batch) + (carry[i] ?? 0n));
    const counts = wanted.map((each) => (each <= 0n ? 0n : each / denominator));
    const parts = wanted.map((each, i) => each - (counts[i] ?? 0n) * denominator);
    let missing = BigInt(this.#batch) - counts.reduce((sum, each) => sum + each, 0n);
    const order = byDeadline(shares, parts, denominator);
    for (const i of missing >= 0n ? order : order.toReversed()) {
      if (missing === 0n) break;
      const change = missing > 0n ? 1n : -1n;
      if ((counts[i] ?? 0n) + change < 0n) continue;
      counts[i] = (counts[i] ?? 0n) + change;
      missing -= change;
    }
    const next = {
      step: step + 1,
      before: before.map((each, i) => each + Number(counts[i] ?? 0n)),
      carry: wanted.map((each, i) => each - (counts[i] ?? 0n) * denominator),
    };
    return { counts: counts.map(Number), state: next };
  }
}

/**
 * The sources in the order in which their next row is complete. Sources that are due no part of it follow, and then those without a share.
 *
 * @param parts what each source is due of its next row, times the denominator; negative if the source is ahead
 */
function byDeadline(shares: readonly bigint[], parts: readonly bigint[], denominator: bigint): number[] {
  const sources = shares.map((share, i) => ({ i, share, part: parts[i] ?? 0n }));
  const rank = ({ share, part }: (typeof sources)[number]): number => (share === 0n ? 2 : part > 0n ? 0 : 1);
  // (1 − part a) / share a against (1 − part b) / share b
  const later = (a: (typeof sources)[number], b: (typeof sources)[number]): bigint =>
    (denominator - a.part) * b.share - (denominator - b.part) * a.share || b.part - a.part;
  return sources.sort((a, b) => rank(a) - rank(b) || Number(later(a, b) > 0n) - Number(later(a, b) < 0n) || a.i - b.i).map(({ i }) => i);
}
