import { createHash } from "node:crypto";
import { damagedDataset, historyOf, type MixtureStream, type StreamRow, type TokenStream } from "@lapidary/mixture";
import { asJson, assert, canonicalJson, ensure } from "@lapidary/std";
import { maskedToken } from "@lapidary/tokenizer";
import type { Batch, BatchRequest } from "../dataset/dataset.js";
import { type SplitName } from "../dataset/manifest.js";
import { PreparedDirectory } from "../dataset/prepared-directory.js";
import { type MixtureManifest, readMixtureManifest } from "./mixture-manifest.js";
import { rowsOfTokens, sourceStream, streamOf } from "./source-stream.js";

/** Steps whose rows are read into the page cache before they are requested. */
const prefetchSteps = 2;

/** The held-out batches of one source: their steps, and the weight of its loss. */
export interface HeldoutSource {
  readonly name: string;
  readonly share: number;
  readonly steps: readonly number[];
}

/**
 * The rows of a run over the sources of a pipeline. A row of training is a function of (seed, step, row) and of the stages. Row i of a source has the tokens
 * [i·T, i·T + T] of its training documents, `<bos> … <eos> <bos> … <eos>`, in order. As in a corpus, `<bos>` does not count as a target.
 *
 * A held-out batch has rows of one source. Batch number `source · n + b` is batch b of the source, and n is the number of batches of the largest source.
 */
export class MixtureDataset extends PreparedDirectory {
  readonly manifest: MixtureManifest;
  readonly #streams: Readonly<Record<SplitName, readonly TokenStream[]>>;
  readonly #masked: number | undefined;
  #stream: { readonly batch: number; readonly seq: number; readonly of: MixtureStream } | undefined;
  /** The last step whose rows were read ahead. */
  #prefetched = -1;

  /** Use `openDataset`. Opens no file of tokens. */
  constructor(directory: string, manifest = readMixtureManifest(directory)) {
    super(directory);
    [this.manifest, this.#masked] = [manifest, maskedToken(manifest.control)];
    const { corpus, sources, bytesPerToken } = this.manifest;
    const of = (split: SplitName): TokenStream[] => sources.map((source) => sourceStream(corpus, source, split, bytesPerToken));
    this.#streams = { train: of("train"), heldout: of("heldout") };
  }

  /** Held-out batches of the source that has most of them. */
  heldoutBatches(batch: number, seq: number): number {
    return Math.max(...this.manifest.sources.map((_, source) => this.#heldoutBatchesOf(source, batch, seq)));
  }

  /** The steps of the first held-out batches of each source that has held-out documents. */
  heldoutSources(batches: number, batch: number, seq: number): HeldoutSource[] {
    const largest = this.heldoutBatches(batch, seq);
    return this.manifest.sources.flatMap(({ name }, source) => {
      const count = Math.min(batches, this.#heldoutBatchesOf(source, batch, seq));
      if (count === 0) return [];
      const share = ensure(this.manifest.shares[source], "share");
      return [{ name, share, steps: Array.from({ length: count }, (_, b) => source * largest + b) }];
    });
  }

  /** SHA-256 of all that decides the rows of the first steps. A run that has trained them is resumed only with the same digest. */
  digest(steps: number): string {
    const { contentHash, seed, batch, seq, heldOutFraction, sources, stages } = this.manifest;
    const names = sources.map(({ name }) => name);
    const history = historyOf(names, stages, steps).map((stage) => ({ ...stage, weights: [...stage.weights] }));
    const decides = asJson({ contentHash, seed, batch, seq, heldOutFraction, names, history });
    return createHash("sha256").update(canonicalJson(decides)).digest("hex");
  }

  /** Rows of the batch of one step. The seed is that of the mixture. */
  batch(request: BatchRequest): Batch {
    const { split, batch, seq, step, rows: [from, to] = [0, batch] } = request;
    assert([step, batch, from, to].every(Number.isInteger) && step >= 0 && 0 <= from && from <= to && to <= batch, "batch request");
    const rows = to - from;
    const result: Batch = {
      rows,
      seq,
      tokens: new Int32Array(rows * seq).fill(this.manifest.control.pad),
      targets: new Int32Array(rows * seq).fill(this.manifest.control.pad),
      mask: new Float32Array(rows * seq),
    };
    for (let row = 0; row < rows; row++) {
      const of = split === "train" ? this.row(step, from + row, batch, seq) : this.#heldoutRow(step, from + row, batch, seq);
      if (of !== undefined) this.#fill(result, row, split, of);
    }
    if (split === "train") this.#prefetch(step, batch, seq, from, to);
    return result;
  }

  /** The source, epoch and sequence of a row of training. */
  row(step: number, row: number, batch = this.manifest.batch, seq = this.manifest.seq): StreamRow {
    return this.stream(batch, seq).row(step, row);
  }

  /** The stream of the rows of training. */
  stream(batch = this.manifest.batch, seq = this.manifest.seq): MixtureStream {
    if (this.#stream?.batch !== batch || this.#stream.seq !== seq) {
      const { sources, stages, seed } = this.manifest;
      this.#stream = { batch, seq, of: streamOf(sources, stages, { seed, batch, seq }) };
    }
    return this.#stream.of;
  }

  /** The tokens of a split of a source. */
  tokensOf(source: number, split: SplitName = "train"): TokenStream {
    return ensure(this.#streams[split][source], "source");
  }

  /** Closes the files. The dataset cannot be read afterwards. */
  close(): void {
    for (const stream of [...this.#streams.train, ...this.#streams.heldout]) stream.close();
  }

  #heldoutBatchesOf(source: number, batch: number, seq: number): number {
    return Math.ceil(rowsOfTokens(this.tokensOf(source, "heldout").length, seq) / batch);
  }

  /** Undefined after the last held-out row of the source. */
  #heldoutRow(step: number, row: number, batch: number, seq: number): Pick<StreamRow, "source" | "index"> | undefined {
    const largest = this.heldoutBatches(batch, seq);
    const [source, index] = [Math.floor(step / largest), (step % largest) * batch + row];
    assert(source < this.manifest.sources.length, "step past the held-out batches", step);
    return index < rowsOfTokens(this.tokensOf(source, "heldout").length, seq) ? { source, index } : undefined;
  }

  /** Copies a row of a source to row `row` of a batch. */
  #fill(
    { seq, tokens, targets, mask }: Batch,
    row: number,
    split: SplitName,
    { source, index }: Pick<StreamRow, "source" | "index">,
  ): void {
    const segment = this.tokensOf(source, split).read(index * seq, seq + 1);
    const bad = segment.find((token) => token >= this.manifest.vocabSize);
    if (bad !== undefined)
      throw damagedDataset(
        this.manifest.corpus,
        `sequence ${index} of ${ensure(this.manifest.sources[source], "source").name} has the id ${bad}, which the tokenizer lacks`,
      );
    const count = Math.min(seq, segment.length - 1);
    tokens.set(segment.subarray(0, Math.min(seq, segment.length)), row * seq);
    targets.set(segment.subarray(1, count + 1), row * seq);
    for (let i = 0; i < count; i++) mask[row * seq + i] = segment[i + 1] === this.#masked ? 0 : 1;
  }

  /** Reads the same rows of the next steps ahead. */
  #prefetch(step: number, batch: number, seq: number, from: number, to: number): void {
    const first = Math.max(step + 1, this.#prefetched + 1);
    // A worker may ask for several ranges of rows of a step, and for steps again after a failure: those are read without a prefetch.
    if (first > step + prefetchSteps || step < this.#prefetched - prefetchSteps) return;
    for (let next = first; next <= step + prefetchSteps; next++)
      for (let row = from; row < to; row++) {
        const { source, index } = this.row(next, row, batch, seq);
        this.tokensOf(source).prefetch(index * seq, seq + 1);
      }
    this.#prefetched = step + prefetchSteps;
  }
}
