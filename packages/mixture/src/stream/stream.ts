import { hash32, LapidaryError } from "@lapidary/std";
import { permute } from "./permutation.js";
import { Quotas } from "./quotas.js";
import { type Stage, sharesOf } from "./stages.js";

interface StreamSource {
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
    let rank = permute(row, batch, hash32(hash32(seed, 1), step));
    let source = 0;
    while (rank >= (counts[source] ?? 0)) rank -= counts[source++] ?? 0;
    const { sequences } = sources[source] ?? { sequences: 1 };
    const number = (before[source] ?? 0) + rank;
    const epoch = Math.floor(number / sequences);
    return { source, epoch, index: permute(number % sequences, sequences, hash32(hash32(hash32(seed, 2), source), epoch)) };
  }
}
