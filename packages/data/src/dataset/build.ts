import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import {
  filesOfTrained,
  hashOfTokenizer,
  maskedToken,
  readTokenizer,
  type TextTokenizer,
  type TokenizerFiles,
  trainTokenizer,
  writeTokenizerFiles,
} from "@lapidary/tokenizer";
import { type CorpusSpec, corpusPath } from "../corpus/corpus-spec.js";
import type { Corpus, Document } from "../corpus/document.js";
import { splitHeldOut } from "../corpus/held-out.js";
import { readNodeModules } from "../corpus/node-modules.js";
import { listCorpusFiles } from "../corpus/list-files.js";
import { readPathCorpus } from "../corpus/path-corpus.js";
import { datasetFiles, type Manifest, type SplitName } from "./manifest.js";
import type { DatasetRequest, TokenizerRequest } from "./request.js";
import { bytesPerToken, TokenWriter } from "./token-file.js";
import { TokenCounts } from "./unigram.js";

/** The stages of preparing, in order. */
type PrepareStage = "read the corpus" | "read the examples" | "read the shards" | "train the tokenizer" | "read the tokenizer" | "encode";

export interface PrepareProgress {
  readonly stage: PrepareStage;
  /** From 0 to `total`, in a unit of the stage. */
  readonly done: number;
  readonly total: number;
}

export type OnPrepareProgress = (progress: PrepareProgress) => void;

/** Maximum number of characters to train the tokenizer on. More would not change which pairs are frequent. */
const tokenizerCharacters = 32_000_000;

/**
 * Writes a whole dataset into an existing, empty directory.
 *
 *     corpus ─► training and held-out documents ─► tokenizer (trained on the former, or given) ─► train.bin, heldout.bin, documents.jsonl ─► dataset.json
 *
 * @throws LapidaryError for an invalid corpus
 */
export function buildDataset(request: DatasetRequest, key: string, directory: string, onProgress: OnPrepareProgress): void {
  const place = corpusPath(request.corpus);
  onProgress({ stage: "read the corpus", done: 0, total: 1 });
  const corpus = readCorpus(request.corpus, (done, total) => onProgress({ stage: "read the corpus", done, total }));
  const splits = splitHeldOut(corpus.documents, request.heldOutFraction, place);
  const { tokenizer, files } = makeTokenizer(request.tokenizer, splits.train, onProgress);
  const total = corpus.documents.length;
  const documents = openSync(join(directory, datasetFiles.documents), "wx", 0o600);
  const encode = (split: SplitName, before: number): EncodedSplit =>
    encodeSplit(splits[split], split, tokenizer, directory, documents, (done) =>
      onProgress({ stage: "encode", done: before + done, total }),
    );
  let train: EncodedSplit;
  let heldout: EncodedSplit;
  try {
    train = encode("train", 0);
    heldout = encode("heldout", splits.train.length);
  } finally {
    closeSync(documents);
  }
  writeTokenizerFiles(join(directory, datasetFiles.tokenizer), files);
  const manifest: Manifest = {
    format: "lapidary-dataset",
    version: 2,
    key,
    contentHash: hashOf(directory, hashOfTokenizer(files)),
    corpus: place,
    vocabSize: tokenizer.vocabSize,
    tokenizerHash: hashOfTokenizer(files),
    control: { ...tokenizer.control, stops: [...tokenizer.control.stops] },
    bytesPerToken: bytesPerToken(tokenizer.vocabSize),
    splits: { train: train.summary, heldout: heldout.summary },
    unigramNats: heldout.counts.crossEntropyUnder(train.counts),
    leftOut: corpus.skipped,
  };
  writeFileSync(join(directory, datasetFiles.manifest), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
}

function readCorpus(spec: CorpusSpec, onProgress: (done: number, total: number) => void): Corpus {
  if (spec.kind === "node_modules") return readNodeModules(spec.directory, { maxBytes: spec.maxBytes, onProgress });
  return readPathCorpus(spec.path, listCorpusFiles(spec.path), { textField: spec.textField, onProgress });
}

function makeTokenizer(
  request: TokenizerRequest,
  documents: readonly Document[],
  onProgress: OnPrepareProgress,
): { readonly tokenizer: TextTokenizer; readonly files: TokenizerFiles } {
  if (request.kind === "given") {
    onProgress({ stage: "read the tokenizer", done: 0, total: 1 });
    return readTokenizer(request.path);
  }
  const tokenizer = trainTokenizer(sample(documents), {
    vocabSize: request.vocabSize,
    onProgress: (done, total) => onProgress({ stage: "train the tokenizer", done, total }),
  });
  return { tokenizer, files: filesOfTrained(tokenizer) };
}

/** The texts to train the tokenizer on: the first ones up to the maximum size. The documents are already shuffled. */
function* sample(documents: readonly Document[]): Generator<string> {
  let characters = 0;
  for (const { text } of documents) {
    if (characters > 0 && characters + text.length > tokenizerCharacters) return;
    characters += text.length;
    yield text;
  }
}

interface EncodedSplit {
  readonly summary: Manifest["splits"][SplitName];
  readonly counts: TokenCounts;
}

/** Writes the packed stream of a split, and a line for each document with its source and start. */
function encodeSplit(
  documents: readonly Document[],
  split: SplitName,
  tokenizer: TextTokenizer,
  directory: string,
  list: number,
  onProgress: (done: number) => void,
): EncodedSplit {
  const writer = new TokenWriter(join(directory, datasetFiles.tokens(split)), bytesPerToken(tokenizer.vocabSize));
  const counts = new TokenCounts(tokenizer.vocabSize);
  const { bos, eos } = tokenizer.control;
  const masked = maskedToken(tokenizer.control);
  let textBytes = 0;
  const push = (token: number): void => {
    writer.push(token);
    if (token !== masked) counts.add(token);
  };
  try {
    for (const [at, { source, text }] of documents.entries()) {
      const start = writer.length;
      if (bos !== undefined) push(bos);
      for (const token of tokenizer.encode(text)) push(token);
      if (eos !== undefined) push(eos);
      textBytes += Buffer.byteLength(text);
      writeSync(list, `${JSON.stringify({ split, source, start, tokens: writer.length - start })}\n`);
      if (at % 64 === 0) onProgress(at);
    }
    onProgress(documents.length);
  } finally {
    writer.close();
  }
  return { summary: { documents: documents.length, tokens: writer.length, targets: counts.total, textBytes }, counts };
}

function hashOf(directory: string, tokenizerHash: string): string {
  const hash = createHash("sha256").update(tokenizerHash);
  for (const name of [datasetFiles.tokens("train"), datasetFiles.tokens("heldout")]) hash.update(readFileSync(join(directory, name)));
  return hash.digest("hex");
}
