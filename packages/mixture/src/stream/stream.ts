import { hash32, LapidaryError } from "@lapidary/std";
import { permute, unpermute } from "./permutation.js";
import { Quotas } from "./quotas.js";
import { type Stage, sharesOf } from "./stages.js";

export interface StreamSource {
  readonly name: string;
  /** Number of sequences. */
  readonly sequences: number;
}

/** What a row of a batch is. */
export interface StreamRow {
  /** Index of the source. */
  readonly source: number;
  /** How often the source was read before. */
  readonly epoch: number;
  /** Index of the sequence in the source. */
  readonly index: number;
}

export interface StreamSettings {
  readonly sources: readonly StreamSource[];
  readonly stages: readonly Stage[];
  readonly batch: number;
  readonly seed: number;
}

/**
 * The rows of a training run over a mixture. A row is a function of (seed, step, row): any host computes any row, and a resumed run reads the same rows.
 *
 *     step ─► quotas: rows of each source, in this step and before ─► which source a row has ─► number n of that source
 *     n    ─► epoch = n div sequences, index = permutation of n mod sequences, another one for each epoch and source
 */
export class MixtureStream {
  readonly #settings: StreamSettings;
  readonly #quotas: Quotas;

  /** @throws LapidaryError LAP_MIXTURE_STAGES, LAP_MIXTURE_EMPTY */
  constructor(settings: StreamSettings) {
    const { sources, stages, batch } = settings;
    const shares = sharesOf(
      sources.map(({ name }) => name),
      stages,
    );
    for (const { name, sequences } of sources)
      if (sequences === 0 && stages.some(({ weights }) => (weights[name] ?? 0) > 0))
        throw new LapidaryError({
          code: "LAP_MIXTURE_EMPTY",
          message: `the source ${name} has a weight and no sequences`,
          location: `mixture.${name}`,
          remedy: "remove its weight, or add text",
        });
    this.#settings = settings;
    this.#quotas = new Quotas(shares, batch);
  }

  row(step: number, row: number): StreamRow {
    const { sources, batch, seed } = this.#settings;
    const { counts, before } = this.#quotas.at(step);
    let rank = permute(row, batch, stepKey(seed, step));
    let source = 0;
    while (rank >= (counts[source] ?? 0)) rank -= counts[source++] ?? 0;
    const { sequences } = sources[source] ?? { sequences: 1 };
    const number = (before[source] ?? 0) + rank;
    const epoch = Math.floor(number / sequences);
    return { source, epoch, index: permute(number % sequences, sequences, epochKey(seed, source, epoch)) };
  }

  get sources(): readonly StreamSource[] {
    return this.#settings.sources;
  }

  /** How many rows of each source the first steps have. */
  rowsBefore(step: number): readonly number[] {
    return this.#quotas.at(step).before;
  }

  /** The inverse of `row`: all rows of the first steps that have a sequence of a source, in the order of the steps. */
  find(source: number, index: number, steps: number): { readonly step: number; readonly row: number; readonly epoch: number }[] {
    const { sources, batch, seed } = this.#settings;
    const { sequences } = sources[source] ?? { sequences: 1 };
    const total = this.rowsBefore(steps)[source] ?? 0;
    const found: { readonly step: number; readonly row: number; readonly epoch: number }[] = [];
    for (let epoch = 0; epoch * sequences < total; epoch++) {
      const number = epoch * sequences + unpermute(index, sequences, epochKey(seed, source, epoch));
      if (number >= total) continue;
      const step = this.#stepOf(source, number, steps);
      const { counts, before } = this.#quotas.at(step);
      const rank = number - (before[source] ?? 0) + counts.slice(0, source).reduce((sum, each) => sum + each, 0);
      found.push({ step, row: unpermute(rank, batch, stepKey(seed, step)), epoch });
    }
    return found;
  }

  /** The step that has row `number` of a source: the last step before which the source has at most so many rows. */
  #stepOf(source: number, number: number, steps: number): number {
    let [low, high] = [0, steps - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#quotas.at(middle).before[source] ?? 0) <= number) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** The key of the order of sources in a batch. */
const stepKey = (seed: number, step: number): number => hash32(hash32(seed, 1), step);

/** The key of the order of sequences in an epoch of a source. */
const epochKey = (seed: number, source: number, epoch: number): number => hash32(hash32(hash32(seed, 2), source), epoch);
