import { join } from "node:path";
import { assert, hash32, ensure } from "@lapidary/std";
import { maskedToken } from "@lapidary/tokenizer";
import { tooSmallForBatch } from "../data-errors.js";
import { datasetFiles, type Manifest, readManifest, type SplitName } from "./manifest.js";
import { PreparedDirectory } from "./prepared-directory.js";
import { permute } from "@lapidary/mixture";
import { TokenReader } from "./token-file.js";

export interface BatchRequest {
  readonly split: SplitName;
  /** Determines the order of the training rows. Held-out rows have a fixed order. An integer. */
  readonly seed: number;
  /** Starts at 0. The held-out split has `heldoutBatches` steps. */
  readonly step: number;
  /** Rows of the whole batch, over all chips. */
  readonly batch: number;
  /** Tokens in a row. */
  readonly seq: number;
  /** The rows of the batch to return, `[from, to)`; all rows by default. */
  readonly rows?: readonly [from: number, to: number];
}

/** Rows of a batch, each array [rows, seq] in row-major order. */
export interface Batch {
  readonly rows: number;
  readonly seq: number;
  readonly tokens: Int32Array;
  /** The token after each token; `<pad>` after the last. */
  readonly targets: Int32Array;
  /** 1 if the target counts, 0 if it is padding or the `<bos>` of the next document. */
  readonly mask: Float32Array;
  /** Only of a dataset of rows: the document of each position from 1; 0 for padding. */
  readonly segments?: Int32Array;
}

/**
 * A prepared corpus. Each split is one stream of packed documents, `<bos> … <eos> <bos> … <eos> …`, in an order that
 * preparation fixes. Row r of length T is the segment that starts at token r·T. Its targets start one token later:
 *
 *     stream   <bos> T h e │ q u i c │ k . <eos> <bos> │ A …          T = 4
 *     tokens   row 0         row 1     row 2             row 3
 *     targets  T h e q       u i c k   . <eos> ×  A      …            × does not count: it is the <bos> of the next document
 *
 * Invariants: a batch is a function of its request and the files. Rows of separate requests equal rows of one request.
 * Every token except `<bos>` is a target exactly once in an epoch.
 */
export class Dataset extends PreparedDirectory {
  readonly manifest: Manifest;
  readonly #readers: Readonly<Record<SplitName, TokenReader>>;
  readonly #masked: number | undefined;

  /** Use `openDataset`. */
  constructor(directory: string, manifest: Manifest) {
    super(directory);
    [this.manifest, this.#masked] = [manifest, maskedToken(manifest.control)];
    const reader = (split: SplitName): TokenReader =>
      new TokenReader(join(directory, datasetFiles.tokens(split)), manifest.splits[split].tokens, manifest.bytesPerToken);
    const train = reader("train");
    try {
      this.#readers = { train, heldout: reader("heldout") };
    } catch (error) {
      train.close();
      throw error;
    }
  }

  /** Rows of `seq` tokens in one epoch of a split. The last row may be padded. */
  rowsPerEpoch(split: SplitName, seq: number): number {
    return Math.max(1, Math.ceil((this.#readers[split].length - 1) / seq));
  }

  /** Number of batches that cover the held-out split once. Rows after its end are padding with mask 0. */
  heldoutBatches(batch: number, seq: number): number {
    return Math.ceil(this.rowsPerEpoch("heldout", seq) / batch);
  }

  /**
   * A check before a run starts.
   *
   * @throws LapidaryError `LAP_DATA_TOO_SMALL` if an epoch of training does not fill one batch
   */
  requireBatch({ batch, seq }: { readonly batch: number; readonly seq: number }): void {
    const rows = this.rowsPerEpoch("train", seq);
    if (rows < batch) throw tooSmallForBatch(this.manifest.corpus, rows, batch, seq);
  }

  /**
   * Rows of the batch of one step. Row i of step s is number s·batch + i of the sequence of all epochs. Each epoch contains
   * every row once, in a different order.
   */
  batch(request: BatchRequest): Batch {
    const { batch, seq, step, rows: [from, to] = [0, batch] } = request;
    assert(
      [step, batch, seq, from, to].every(Number.isInteger) && step >= 0 && 0 <= from && from <= to && to <= batch && seq > 0,
      "batch request",
      request,
    );
    const rows = to - from;
    const result: Batch = {
      rows,
      seq,
      tokens: new Int32Array(rows * seq).fill(this.manifest.control.pad),
      targets: new Int32Array(rows * seq).fill(this.manifest.control.pad),
      mask: new Float32Array(rows * seq),
    };
    for (let row = 0; row < rows; row++) {
      const source = this.#rowOf(request, step * batch + from + row);
      if (source !== undefined) this.#fill(result, row, request.split, source);
    }
    return result;
  }

  /** Tokens `[start, start + count)` of the stream of a split, for inspection. */
  tokens(split: SplitName, start: number, count: number): Int32Array {
    return Int32Array.from(this.#readers[split].read(start, count));
  }

  /** Closes the files. The dataset cannot be read afterwards. */
  close(): void {
    this.#readers.train.close();
    this.#readers.heldout.close();
  }

  /** The row of the split that is number `ordinal` of the sequence; undefined after the last held-out row. */
  #rowOf({ split, seed, batch, seq }: BatchRequest, ordinal: number): number | undefined {
    const rows = this.rowsPerEpoch(split, seq);
    if (split === "heldout") {
      assert(ordinal < Math.ceil(rows / batch) * batch, "step past the held-out batches", ordinal, rows);
      return ordinal < rows ? ordinal : undefined;
    }
    const epoch = Math.floor(ordinal / rows);
    return permute(ordinal % rows, rows, epochKey(seed, epoch));
  }

  /** Copies row `source` of a split to row `row` of a batch. */
  #fill({ seq, tokens, targets, mask }: Batch, row: number, split: SplitName, source: number): void {
    const offset = row * seq;
    const segment = this.#readers[split].read(source * seq, seq + 1);
    for (let i = 0; i < Math.min(seq, segment.length); i++) {
      tokens[offset + i] = ensure(segment[i], "token");
      const target = segment[i + 1];
      if (target === undefined) continue;
      targets[offset + i] = target;
      mask[offset + i] = target === this.#masked ? 0 : 1;
    }
  }
}

/**
 * Opens a dataset that was prepared from a corpus. The time, some milliseconds, does not depend on its size.
 *
 * @throws LapidaryError `LAP_DATA_DATASET` if the directory does not contain a complete dataset
 */
export const openCorpus = (directory: string): Dataset => new Dataset(directory, readManifest(directory));

/** All 53 bits of the seed determine the key. */
function epochKey(seed: number, epoch: number): number {
  assert(Number.isSafeInteger(seed), "seed must be an integer", seed);
  return hash32(hash32(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0), epoch);
}
