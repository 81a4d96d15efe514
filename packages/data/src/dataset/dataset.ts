import { join } from "node:path";
import { assert, hash32, must } from "@lapidary/std";
import { tooSmallForBatch } from "../data-errors.js";
import { maskedToken, readTokenizer, readTokenizerFiles, type TextTokenizer, type TokenizerFiles } from "@lapidary/tokenizer";
import { datasetFiles, type Manifest, readManifest, type SplitName } from "./manifest.js";
import { permute } from "./permutation.js";
import { TokenReader } from "./token-file.js";

export interface BatchRequest {
  readonly split: SplitName;
  /** Orders the training rows; held-out rows keep their order. An integer. */
  readonly seed: number;
  /** Counts from 0. Of the held-out split there are `heldoutBatches` steps. */
  readonly step: number;
  /** Rows of the whole batch, over all chips. */
  readonly batch: number;
  /** Tokens in a row. */
  readonly seq: number;
  /** Which rows of the batch to give, `[from, to)`; all of them by default. */
  readonly rows?: readonly [from: number, to: number];
}

/** Rows of a batch, each array [rows, seq] in row-major order. */
export interface Batch {
  readonly rows: number;
  readonly seq: number;
  readonly tokens: Int32Array;
  /** The token that follows each; `<pad>` where there is none. */
  readonly targets: Int32Array;
  /** 1 where the target counts, 0 where it is padding or the `<bos>` of another document. */
  readonly mask: Float32Array;
}

/**
 * A prepared corpus. Each split is one stream of packed documents, `<bos> … <eos> <bos> … <eos> …`, in an order fixed when
 * it was prepared; row r of length T is the stretch that begins at token r·T, its targets are the same stretch one on:
 *
 *     stream   <bos> T h e │ q u i c │ k . <eos> <bos> │ A …          T = 4
 *     tokens   row 0         row 1     row 2             row 3
 *     targets  T h e q       u i c k   . <eos> ×  A      …            × does not count: it is another document's <bos>
 *
 * Invariants: a batch is a function of its request and the files, of nothing else; the rows of a batch are the same
 * whether asked for together or apart; every token but `<bos>` is a target exactly once in an epoch.
 */
export class Dataset {
  readonly directory: string;
  readonly manifest: Manifest;
  readonly #readers: Readonly<Record<SplitName, TokenReader>>;
  readonly #masked: number | undefined;
  #tokenizer: TextTokenizer | undefined;

  /** Use `openDataset`. */
  constructor(directory: string, manifest: Manifest) {
    [this.directory, this.manifest, this.#masked] = [directory, manifest, maskedToken(manifest.control)];
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

  /** Read when first asked for: a worker that only trains never does. */
  get tokenizer(): TextTokenizer {
    this.#tokenizer ??= readTokenizer(join(this.directory, datasetFiles.tokenizer)).tokenizer;
    return this.#tokenizer;
  }

  /** The files of the tokenizer, for checkpoints. */
  get tokenizerFiles(): TokenizerFiles {
    return readTokenizerFiles(join(this.directory, datasetFiles.tokenizer));
  }

  /** Rows of `seq` tokens in one epoch of a split; the last one may be padded. */
  rowsPerEpoch(split: SplitName, seq: number): number {
    return Math.max(1, Math.ceil((this.#readers[split].length - 1) / seq));
  }

  /** Batches that cover the held-out split once; rows past its end are padding with mask 0. */
  heldoutBatches(batch: number, seq: number): number {
    return Math.ceil(this.rowsPerEpoch("heldout", seq) / batch);
  }

  /**
   * To be asked before a run starts.
   *
   * @throws LapidaryError `LAP_DATA_TOO_SMALL` when an epoch of training does not fill one batch
   */
  requireBatch({ batch, seq }: { readonly batch: number; readonly seq: number }): void {
    const rows = this.rowsPerEpoch("train", seq);
    if (rows < batch) throw tooSmallForBatch(this.manifest.corpus, rows, batch, seq);
  }

  /**
   * Rows of the batch of one step. Training goes through the epochs without end: row i of step s is number s·batch + i
   * of a sequence in which each epoch has every row once, in an order of its own.
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

  /** Tokens `[start, start + count)` of a split's stream: to look at. */
  tokens(split: SplitName, start: number, count: number): Int32Array {
    return Int32Array.from(this.#readers[split].read(start, count));
  }

  /** Lets go of the files; the dataset cannot be read after. */
  close(): void {
    this.#readers.train.close();
    this.#readers.heldout.close();
  }

  /** Which row of the split is number `ordinal` of the sequence; undefined past the end of the held-out rows. */
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
    const stretch = this.#readers[split].read(source * seq, seq + 1);
    for (let i = 0; i < Math.min(seq, stretch.length); i++) {
      tokens[offset + i] = must(stretch[i], "token");
      const target = stretch[i + 1];
      if (target === undefined) continue;
      targets[offset + i] = target;
      mask[offset + i] = target === this.#masked ? 0 : 1;
    }
  }
}

/**
 * Opens a prepared dataset: some milliseconds, whatever its size.
 *
 * @throws LapidaryError `LAP_DATA_DATASET` when the directory holds no complete dataset
 */
export function openDataset(directory: string): Dataset {
  return new Dataset(directory, readManifest(directory));
}

/** All 53 bits of the seed count. */
function epochKey(seed: number, epoch: number): number {
  assert(Number.isSafeInteger(seed), "seed must be an integer", seed);
  return hash32(hash32(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0), epoch);
}
