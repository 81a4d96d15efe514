import { assert } from "@lapidary/std";
import type { Document, EncodedPair, EncodedPrompt } from "./encode.js";

/** Padding has this id, whatever the tokenizer is. Masks and segments come from lengths, so the id never decides what is padding. */
const padId = 0;

/**
 * A row of documents:
 *
 *     ids       <bos> … <end> <bos> … <end>  0 0 0
 *     mask        0   …   1     0   …   1    0 0 0     1: the token is a target
 *     segments    1   …   1     2   …   2    0 0 0     attention stays within a segment
 */
export interface TrainingRow {
  readonly ids: Int32Array;
  readonly mask: Uint8Array;
  readonly segments: Int32Array;
}

type Ids = Pick<Document, "ids" | "mask">;

export function trainingRow<D extends Ids>(documents: readonly D[], seq: number): TrainingRow {
  const row = { ids: new Int32Array(seq).fill(padId), mask: new Uint8Array(seq), segments: new Int32Array(seq) };
  let at = 0;
  for (const [index, { ids, mask }] of documents.entries()) {
    assert(at + ids.length <= seq, "the documents fit into the row", at + ids.length, seq);
    row.ids.set(ids, at);
    row.mask.set(mask, at);
    row.segments.fill(index + 1, at, at + ids.length);
    at += ids.length;
  }
  return row;
}

/** The inputs of `sft_step`. Position `i` of a row predicts token `i + 1`. All arrays are [rows, seq]. */
export interface TrainingBatch {
  readonly rows: number;
  readonly seq: number;
  readonly tokens: Int32Array;
  readonly targets: Int32Array;
  /** 1 where the target counts, else 0. */
  readonly mask: Float32Array;
  /** The document of each position from 1; 0 for padding. */
  readonly segments: Int32Array;
}

/** @param rows the documents of each row; a row without documents is padding */
export function trainingBatch<D extends Ids>(rows: readonly (readonly D[])[], seq: number): TrainingBatch {
  const size = rows.length * seq;
  const batch = {
    rows: rows.length,
    seq,
    tokens: new Int32Array(size),
    targets: new Int32Array(size),
    mask: new Float32Array(size),
    segments: new Int32Array(size),
  };
  for (const [row, documents] of rows.entries()) {
    const { ids, mask, segments } = trainingRow(documents, seq);
    const offset = row * seq;
    batch.tokens.set(ids, offset);
    batch.targets.set(ids.subarray(1), offset);
    batch.mask.set(mask.subarray(1), offset);
    batch.segments.set(segments, offset);
  }
  return batch;
}

/** The inputs of `reward_step` and `dpo_step`: B chosen rows, then their B rejected rows. Arrays are [2B, seq] except `last` and `margin`. */
export interface PreferenceBatch extends TrainingBatch {
  /** [2B] index of the last token of each row, from its length. */
  readonly last: Int32Array;
  /** [B] */
  readonly margin: Float32Array;
}

export function preferenceBatch(pairs: readonly EncodedPair[], seq: number): PreferenceBatch {
  const documents = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)];
  return {
    ...trainingBatch(
      documents.map((document) => [document]),
      seq,
    ),
    last: Int32Array.from(documents, ({ ids }) => ids.length - 1),
    margin: Float32Array.from(pairs, ({ margin }) => margin),
  };
}

/** The inputs of `prefill`: prompts padded at the left, so that all rows have one position. */
export interface PromptBatch {
  readonly rows: number;
  readonly seq: number;
  /** [rows, seq] */
  readonly tokens: Int32Array;
  /** [rows] index of the first token of each row. */
  readonly first: Int32Array;
}

export function promptBatch(prompts: readonly EncodedPrompt[], seq: number): PromptBatch {
  const batch = {
    rows: prompts.length,
    seq,
    tokens: new Int32Array(prompts.length * seq).fill(padId),
    first: new Int32Array(prompts.length),
  };
  for (const [row, { ids }] of prompts.entries()) {
    assert(ids.length <= seq, "the prompt fits into the row", ids.length, seq);
    batch.tokens.set(ids, (row + 1) * seq - ids.length);
    batch.first[row] = seq - ids.length;
  }
  return batch;
}
