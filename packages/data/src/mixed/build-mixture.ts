import { createHash } from "node:crypto";
import { realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  checkRepeats,
  checkShardSizes,
  checkTokenizerFile,
  damagedDataset,
  type PublishedDataset,
  readPublished,
  splitShard,
  verifyPublished,
} from "@lapidary/mixture";
import {
  hashOfTokenizer,
  maskedToken,
  readTokenizer,
  type TextTokenizer,
  type TokenizerFiles,
  writeTokenizerFiles,
} from "@lapidary/tokenizer";
import { nothingHeldOut } from "../data-errors.js";
import type { OnPrepareProgress } from "../dataset/build.js";
import { datasetFiles, type SplitName } from "../dataset/manifest.js";
import { TokenCounts } from "../dataset/unigram.js";
import type { MixtureManifest, MixtureSource } from "./mixture-manifest.js";
import type { MixtureRequest } from "./mixture-request.js";
import { sourceStream, streamOf } from "./source-stream.js";

/** Datasets up to this size are compared with their digests before a run. Reading a larger one would delay each run by minutes. */
const verifiedBytes = 2 ** 30;
/** Tokens of each source and split that the unigram model counts. */
const sampledTokens = 1 << 20;

/**
 * Writes the description of a mixture into an existing, empty directory: where the held-out part of each shard ends, the tokenizer, and the stages. Copies
 * no tokens.
 *
 * @throws LapidaryError LAP_DATA_DATASET, LAP_DATA_TOO_SMALL, LAP_MIXTURE_…
 */
export async function buildMixture(request: MixtureRequest, key: string, directory: string, onProgress: OnPrepareProgress): Promise<void> {
  const root = realpathSync.native(request.pipeline);
  const published = readPublished(root);
  checkTokenizerFile(root, published);
  const { tokenizer, files } = readTokenizer(join(root, published.tokenizer.file));
  if (tokenizer.vocabSize !== published.tokenizer.vocab_size)
    throw damagedDataset(
      join(root, published.tokenizer.file),
      `the tokenizer has ${tokenizer.vocabSize} ids, not ${published.tokenizer.vocab_size}`,
    );
  const bytes = Object.values(published.sources).reduce((sum, { tokens }) => sum + tokens * published.bytes_per_id, 0);
  if (bytes <= verifiedBytes) await verifyPublished(root);
  const sources = splitSources(root, published, request.heldOutFraction, onProgress);
  const stages = request.stages ?? [{ from: 0, weights: naturalWeights(sources) }];
  const stream = streamOf(sources, stages, request);
  for (const { name, heldout, train } of sources)
    if (heldout.tokens === 0 && stages.some(({ weights }) => (weights[name] ?? 0) > 0))
      throw nothingHeldOut(root, name, train.documents, request.heldOutFraction);
  const { repeat, steps } = request;
  checkRepeats(stream, steps, (name) => (typeof repeat === "number" ? repeat : (repeat[name] ?? 1)));
  const rows = stream.rowsBefore(steps);
  writeTokenizerFiles(join(directory, datasetFiles.tokenizer), files);
  const masked = maskedToken(tokenizer.control);
  const manifest: MixtureManifest = {
    format: "lapidary-mixture",
    version: 1,
    key,
    contentHash: contentHash(published),
    corpus: root,
    ...tokenizerFields(tokenizer, files),
    bytesPerToken: published.bytes_per_id,
    splits: { train: sumOf(published, sources, "train", masked), heldout: sumOf(published, sources, "heldout", masked) },
    unigramNats: unigramNats(root, published, sources, masked),
    leftOut: {},
    seed: request.seed,
    steps,
    batch: request.batch,
    seq: request.seq,
    heldOutFraction: request.heldOutFraction,
    stages: stages.map(({ from, ramp = 0, weights }) => ({ from, ramp, weights: { ...weights } })),
    shares: rows.map((each) => each / (steps * request.batch)),
    sources,
  };
  writeFileSync(join(directory, datasetFiles.manifest), `${JSON.stringify(manifest)}\n`, { mode: 0o600 });
}

const tokenizerFields = (
  { vocabSize, control }: TextTokenizer,
  files: TokenizerFiles,
): Pick<MixtureManifest, "vocabSize" | "tokenizerHash" | "control"> => ({
  vocabSize,
  tokenizerHash: hashOfTokenizer(files),
  control: { ...control, stops: [...control.stops] },
});

function splitSources(root: string, published: PublishedDataset, fraction: number, onProgress: OnPrepareProgress): MixtureSource[] {
  const all = Object.entries(published.sources);
  const total = all.reduce((sum, [, { shards }]) => sum + shards.length, 0);
  let done = 0;
  return all.map(([name, { licence, shards }]) => {
    const split = shards.map((shard) => {
      checkShardSizes(root, shard, published.bytes_per_id);
      if (done++ % 64 === 0) onProgress({ stage: "read the shards", done, total });
      return { tokens: shard.tokens, documents: shard.documents, ...splitShard(root, shard, fraction) };
    });
    const sum = (part: SplitName, key: "documents" | "tokens"): number => split.reduce((all, shard) => all + shard[part][key], 0);
    const of = (part: SplitName): MixtureSource["train"] => ({ documents: sum(part, "documents"), tokens: sum(part, "tokens") });
    return { name, licence, heldout: of("heldout"), train: of("train"), shards: split };
  });
}

/** Weights in proportion to the tokens that can be trained. */
const naturalWeights = (sources: readonly MixtureSource[]): Record<string, number> =>
  Object.fromEntries(sources.map(({ name, train }) => [name, train.tokens]));

function sumOf(
  published: PublishedDataset,
  sources: readonly MixtureSource[],
  split: SplitName,
  masked: number | undefined,
): MixtureManifest["splits"]["train"] {
  const sum = (of: (source: MixtureSource) => number): number => sources.reduce((total, source) => total + of(source), 0);
  const [documents, tokens] = [sum((source) => source[split].documents), sum((source) => source[split].tokens)];
  return {
    documents,
    tokens,
    targets: tokens - (masked === undefined ? 0 : documents),
    // The bytes of a split are not stored: they are those of the source, by the share of its tokens.
    textBytes: Math.round(
      sum(({ name, [split]: part, heldout, train }) => {
        const all = heldout.tokens + train.tokens;
        return all === 0 ? 0 : ((published.sources[name]?.bytes ?? 0) * part.tokens) / all;
      }),
    ),
  };
}

function unigramNats(
  root: string,
  { bytes_per_id, tokenizer }: PublishedDataset,
  sources: readonly MixtureSource[],
  masked: number | undefined,
): number {
  const counts = { train: new TokenCounts(tokenizer.vocab_size), heldout: new TokenCounts(tokenizer.vocab_size) };
  for (const source of sources)
    for (const split of ["train", "heldout"] as const) {
      const stream = sourceStream(root, source, split, bytes_per_id);
      const sample = stream.read(0, sampledTokens);
      stream.close();
      for (const token of sample) {
        if (token >= tokenizer.vocab_size) throw damagedDataset(root, `${source.name} has the id ${token}, which the tokenizer lacks`);
        if (token !== masked) counts[split].add(token);
      }
    }
  return counts.heldout.total === 0 ? 0 : counts.heldout.crossEntropyUnder(counts.train);
}

function contentHash({ tokenizer, sources }: PublishedDataset): string {
  const hash = createHash("sha256").update(tokenizer.sha256);
  for (const [name, { shards }] of Object.entries(sources)) {
    hash.update(`\0${name}\0`);
    for (const { sha256 } of shards) hash.update(sha256);
  }
  return hash.digest("hex");
}
