import { join } from "node:path";
import { assert, ensure } from "@lapidary/std";
import type { BatchRequest } from "../dataset/dataset.js";
import { type SplitName } from "../dataset/manifest.js";
import { PreparedDirectory } from "../dataset/prepared-directory.js";
import { TokenReader } from "../dataset/token-file.js";
import type { Document } from "../examples/encode.js";
import { firstFit } from "../examples/first-fit.js";
import { type Mixture, mixtureOf } from "../examples/mixture.js";
import { type TrainingBatch, trainingBatch } from "../examples/training-batch.js";
import { TrainingOrder } from "../examples/training-order.js";
import { readRowsManifest, rowsFiles, type RowsManifest } from "./rows-manifest.js";

/**
 * The prepared documents of fine-tuning. A batch of training is a function of (seed, step), by the mixture of the sources and the order of each
 * epoch. Held-out rows keep one order.
 */
export class RowDataset extends PreparedDirectory {
  readonly manifest: RowsManifest;
  readonly #train: Documents;
  readonly #heldout: Documents;
  readonly #mixture: Mixture;
  /** The first document of each source. */
  readonly #starts: readonly number[];
  /** The order of the seed that was read last: a run has one seed. */
  #order: { readonly seed: number; readonly order: TrainingOrder } | undefined;
  #heldoutRows: readonly Int32Array[] | undefined;

  /** Use `openDataset`. */
  constructor(directory: string) {
    super(directory);
    const manifest = readRowsManifest(directory);
    this.manifest = manifest;
    this.#train = new Documents(directory, manifest, "train");
    try {
      this.#heldout = new Documents(directory, manifest, "heldout");
    } catch (error) {
      this.#train.close();
      throw error;
    }
    this.#mixture = mixtureOf(manifest.sources.map(({ name, share, documents }) => ({ name, share, size: documents })));
    this.#starts = manifest.sources.map((_, at) => manifest.sources.slice(0, at).reduce((sum, { documents }) => sum + documents, 0));
  }

  /** Number of batches that cover the held-out split once. Rows after its end are padding with mask 0. */
  heldoutBatches(batch: number): number {
    return Math.ceil(this.#rowsOfHeldout.length / batch);
  }

  /** Rows of the batch of one step, with the document of each position. */
  batch({ split, seed, step, batch, seq, rows: [from, to] = [0, batch] }: BatchRequest): TrainingBatch {
    assert(seq === this.manifest.seq, "a dataset of rows has one length", seq, this.manifest.seq);
    assert([step, batch, from, to].every(Number.isInteger) && step >= 0 && 0 <= from && from <= to && to <= batch, "batch request");
    const rows = split === "train" ? this.#trainRows(seed, step, batch) : this.#heldoutRowsOf(step, batch);
    return trainingBatch(
      rows.slice(from, to).map((indices) => indices.map((index) => this.#documents(split).read(index))),
      seq,
    );
  }

  /** Closes the files. The dataset cannot be read afterwards. */
  close(): void {
    this.#train.close();
    this.#heldout.close();
  }

  #documents(split: SplitName): Documents {
    return split === "train" ? this.#train : this.#heldout;
  }

  /** The indices of the documents of each row. */
  #trainRows(seed: number, step: number, batch: number): readonly (readonly number[])[] {
    const { pack, seq } = this.manifest;
    const indexOf = ({ source, index }: { readonly source: number; readonly index: number }): number =>
      ensure(this.#starts[source], "source") + index;
    if (this.#order?.seed !== seed) {
      const packing = pack ? { seq, lengthOf: (item: Parameters<typeof indexOf>[0]) => this.#train.lengthOf(indexOf(item)) } : undefined;
      this.#order = { seed, order: new TrainingOrder({ mixture: this.#mixture, seed, packing }) };
    }
    return this.#order.order.rows(step, batch).map((row) => row.map(indexOf));
  }

  get #rowsOfHeldout(): readonly Int32Array[] {
    this.#heldoutRows ??= this.#packHeldout();
    return this.#heldoutRows;
  }

  #packHeldout(): readonly Int32Array[] {
    const { count } = this.#heldout;
    if (!this.manifest.pack) return Array.from({ length: count }, (_, index) => Int32Array.of(index));
    const lengths = Array.from({ length: count }, (_, index) => this.#heldout.lengthOf(index));
    const bins = firstFit(lengths, this.manifest.seq);
    return Array.from({ length: bins.count }, (_, bin) => bins.itemsOf(bin));
  }

  #heldoutRowsOf(step: number, batch: number): readonly (readonly number[])[] {
    assert(step < this.heldoutBatches(batch), "step past the held-out batches", step);
    return Array.from({ length: batch }, (_, row) => Array.from(this.#rowsOfHeldout[step * batch + row] ?? []));
  }
}

/** The documents of one split. */
class Documents {
  readonly #tokens: TokenReader;
  readonly #mask: TokenReader;
  readonly #lengths: ArrayLike<number>;
  readonly #starts: Float64Array;
  readonly count: number;

  constructor(directory: string, { splits, bytesPerToken }: RowsManifest, split: SplitName) {
    const { documents, tokens } = splits[split];
    this.count = documents;
    const lengths = new TokenReader(join(directory, rowsFiles.lengths(split)), documents, 4);
    this.#lengths = lengths.read(0, documents);
    lengths.close();
    this.#starts = new Float64Array(documents);
    for (let index = 1; index < documents; index++)
      this.#starts[index] = ensure(this.#starts[index - 1], "start") + this.lengthOf(index - 1);
    this.#tokens = new TokenReader(join(directory, rowsFiles.tokens(split)), tokens, bytesPerToken);
    try {
      this.#mask = new TokenReader(join(directory, rowsFiles.mask(split)), tokens, 1);
    } catch (error) {
      this.#tokens.close();
      throw error;
    }
  }

  lengthOf(index: number): number {
    return ensure(this.#lengths[index], "length");
  }

  read(index: number): Pick<Document, "ids" | "mask"> {
    const [start, length] = [ensure(this.#starts[index], "start"), this.lengthOf(index)];
    return { ids: Int32Array.from(this.#tokens.read(start, length)), mask: Uint8Array.from(this.#mask.read(start, length)) };
  }

  close(): void {
    this.#tokens.close();
    this.#mask.close();
  }
}
