import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensure } from "@lapidary/std";
import { hashOfTokenizer, readTokenizer, withTurnTokens, writeTokenizerFiles } from "@lapidary/tokenizer";
import type { OnPrepareProgress } from "../dataset/build.js";
import { datasetFiles, type SplitName } from "../dataset/manifest.js";
import { bytesPerToken, TokenWriter } from "../dataset/token-file.js";
import { TokenCounts } from "../dataset/unigram.js";
import { type ChatTokenizer, chatTokenizer } from "../examples/chat-tokenizer.js";
import { type Document, encodeExamples, encodeForTuning } from "../examples/encode.js";
import type { Example, RefusedRow } from "../examples/example.js";
import { noExamples } from "../examples/example-errors.js";
import { mixtureOf } from "../examples/mixture.js";
import { readRows } from "./read-rows.js";
import { countCodes, maxNamedRows, rowsFiles, type RowsManifest } from "./rows-manifest.js";
import type { RowsRequest } from "./rows-request.js";

/**
 * Writes a dataset of rows into an existing, empty directory.
 *
 *     files ─► examples ─► filters ─► training and held-out documents ─► ids, mask, lengths ─► dataset.json
 *
 * The directory has documents, not rows: each epoch packs its documents in another order.
 *
 * @throws LapidaryError for a file or a tokenizer that cannot be used, or if no example remains
 */
export function buildRows(request: RowsRequest, key: string, directory: string, onProgress: OnPrepareProgress): void {
  onProgress({ stage: "read the examples", done: 0, total: 1 });
  const read = readRows(request);
  onProgress({ stage: "read the tokenizer", done: 0, total: 1 });
  const stored = readTokenizer(request.tokenizer);
  const { tokenizer, files } = withTurnTokens(stored.tokenizer) ?? stored;
  const chat = chatTokenizer(tokenizer);

  const total = read.sources.reduce((sum, { examples }) => sum + examples.length, read.heldout.length);
  let done = 0;
  const refused: RefusedRow[] = [...read.refused];
  const encode = (name: string, examples: readonly Example[]): readonly Document[] => {
    const result = documentsOf(name, examples, chat, request.seq);
    refused.push(...result.refused);
    onProgress({ stage: "encode", done: (done += examples.length), total });
    return result.documents;
  };
  const sources = read.sources.map(({ name, share, examples }) => ({ name, share, documents: encode(name, examples) }));
  const heldout = encode("the evaluation set", read.heldout);
  // The shares are checked before the run, and not by each worker.
  mixtureOf(sources.map(({ name, share, documents }) => ({ name, share, size: documents.length })));

  const trained = sources.flatMap(({ documents }) => documents);
  writeDocuments(directory, "train", trained, tokenizer.vocabSize);
  writeDocuments(directory, "heldout", heldout, tokenizer.vocabSize);
  writeTokenizerFiles(join(directory, datasetFiles.tokenizer), files);
  const tokenizerHash = hashOfTokenizer(files);
  const manifest: RowsManifest = {
    format: "lapidary-rows",
    version: 1,
    key,
    contentHash: contentHash(directory, tokenizerHash),
    corpus: [...new Set(request.train.map(({ path }) => path))].join(", "),
    vocabSize: tokenizer.vocabSize,
    tokenizerHash,
    control: { ...tokenizer.control, stops: [...tokenizer.control.stops] },
    bytesPerToken: bytesPerToken(tokenizer.vocabSize),
    seq: request.seq,
    pack: request.pack,
    splits: { train: summaryOf(trained), heldout: summaryOf(heldout) },
    sources: sources.map(({ name, share, documents }) => ({
      name,
      documents: documents.length,
      ...(share === undefined ? {} : { share }),
    })),
    unigramNats: countsOf(heldout, tokenizer.vocabSize).crossEntropyUnder(countsOf(trained, tokenizer.vocabSize)),
    refused: { byCode: countCodes(refused), first: refused.slice(0, maxNamedRows) },
    filters: read.reports.map(({ filter, checked, removed, removedByKind }) => ({ filter, checked, removed, removedByKind })),
  };
  writeFileSync(join(directory, datasetFiles.manifest), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
}

function documentsOf(
  name: string,
  examples: readonly Example[],
  tokenizer: ChatTokenizer,
  seq: number,
): { readonly documents: readonly Document[]; readonly refused: readonly RefusedRow[] } {
  const { encoded, refused } = encodeExamples(examples, (example) => encodeForTuning(example, tokenizer, { seq }));
  const documents = encoded.flat();
  const [first] = refused;
  if (documents.length === 0) throw noExamples(name, first === undefined ? undefined : `row ${first.row}: ${first.reason}`);
  return { documents, refused };
}

function writeDocuments(directory: string, split: SplitName, documents: readonly Document[], vocabSize: number): void {
  const tokens = new TokenWriter(join(directory, rowsFiles.tokens(split)), bytesPerToken(vocabSize));
  const mask = new TokenWriter(join(directory, rowsFiles.mask(split)), 1);
  const lengths = new TokenWriter(join(directory, rowsFiles.lengths(split)), 4);
  try {
    for (const document of documents) {
      for (const id of document.ids) tokens.push(id);
      for (const isTrained of document.mask) mask.push(isTrained);
      lengths.push(document.ids.length);
    }
  } finally {
    for (const writer of [tokens, mask, lengths]) writer.close();
  }
}

const summaryOf = (documents: readonly Document[]): RowsManifest["splits"][SplitName] => ({
  documents: documents.length,
  tokens: documents.reduce((sum, { ids }) => sum + ids.length, 0),
  targets: documents.reduce((sum, { mask }) => sum + mask.reduce((ones, each) => ones + each, 0), 0),
});

function countsOf(documents: readonly Document[], vocabSize: number): TokenCounts {
  const counts = new TokenCounts(vocabSize);
  for (const { ids, mask } of documents)
    for (const [at, isTrained] of mask.entries()) if (isTrained === 1) counts.add(ensure(ids[at], "token"));
  return counts;
}

function contentHash(directory: string, tokenizerHash: string): string {
  const hash = createHash("sha256").update(tokenizerHash);
  for (const split of ["train", "heldout"] as const)
    for (const file of [rowsFiles.tokens, rowsFiles.mask, rowsFiles.lengths]) hash.update(readFileSync(join(directory, file(split))));
  return hash.digest("hex");
}
