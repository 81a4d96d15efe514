import { Account, type AccountCounts } from "@lapidary/data-store";
import { bytesPerId, encodeShard, type ShardDocument } from "@lapidary/mixture";
import { asJson, ensure, LapidaryError } from "@lapidary/std";
import { readTokenizer, SentencePieceTokenizer, SentencePieceTrainer, type TextTokenizer, tokenizerPaths } from "@lapidary/tokenizer";
import { z } from "zod";
import { noDocuments } from "../dedup/record-parts.js";
import { amount } from "../file/amounts.js";
import { jsonLines, parsedLines } from "../view/json-lines.js";
import type { ShardView } from "../view/view.js";
import { killsTheStage } from "./map-documents.js";
import { binOfId, binsBytes, idBins, lastBinOf, SampleIds } from "./sample.js";
import type { GatherInputs, Stage, StageOutput, Step } from "./stage.js";

const given = z.strictObject({ tokenizer: z.string().min(1) });
const trained = z.strictObject({ train: z.strictObject({ size: amount, from: amount.default(2e9) }) });
const settings = z.union([given, trained]);
export type TokenizeSettings = z.output<typeof settings>;
type TrainSettings = z.output<typeof trained>;

/**
 * Texts → ids of a tokenizer, in the format of a published dataset: part-0 has the ids, part-1 the table of documents. A document is `<bos> … <eos>`, as in
 * a corpus; `<bos>` is absent if the tokenizer has none.
 */
export const tokenize: Stage<TokenizeSettings> = {
  settings,
  changes: false,
  located: (settings, resolvePath) => ("tokenizer" in settings ? { tokenizer: resolvePath(settings.tokenizer) } : settings),
  config: (settings) => ("tokenizer" in settings ? "given" : asJson(settings)),
  check: (settings) => {
    if ("tokenizer" in settings) endOf(readTokenizer(settings.tokenizer).tokenizer, settings.tokenizer);
  },
  files: (settings) => ("tokenizer" in settings ? tokenizerPaths(settings.tokenizer) : []),
  steps: (settings) =>
    "tokenizer" in settings
      ? [
          {
            shape: "map",
            name: "encode",
            code: "2",
            writes: "tokens",
            run: (view) => encodeShardOf(view, readTokenizer(settings.tokenizer).tokenizer, settings.tokenizer),
          },
        ]
      : trainingSteps(settings),
};

/**
 * A sample of the documents, chosen by their ids, trains the tokenizer. Memory does not depend on the sample or the corpus.
 *
 *     sizes    each shard  → bytes of texts by the first digits of their ids
 *     bound    one         → the last of these digits that the sample can have
 *     sample   each shard  → (id, text) of the documents up to this bound
 *     train    one         → the tokenizer of the documents with the smallest ids that have `from` bytes
 *     encode   each shard  → ids
 */
function trainingSteps(settings: TrainSettings): readonly Step<TokenizeSettings>[] {
  const { size, from } = settings.train;
  return [
    { shape: "scatter", name: "sizes", code: "1", partitions: () => 1, run: (view) => sizesOf(view) },
    { shape: "gather", name: "bound", code: "1", partitions: () => 1, run: (inputs) => boundOf(inputs, from) },
    { shape: "scatter", name: "sample", code: "2", partitions: () => 1, run: (view, inputs) => sampleShard(view, inputs) },
    { shape: "gather", name: "train", code: "2", partitions: () => 1, run: (inputs) => trainOn(inputs, size, from) },
    {
      shape: "join",
      name: "encode",
      code: "2",
      writes: "tokens",
      run: (view, inputs) => encodeTrained(view, inputs),
    },
  ];
}

async function* sizesOf(view: ShardView): StageOutput {
  const account = new Account();
  const bins = new Float64Array(idBins);
  for await (const { id, text } of delivered(view, account)) bins[binOfId(id)] = (bins[binOfId(id)] ?? 0) + Buffer.byteLength(text);
  const bytes = Buffer.alloc(binsBytes);
  for (const [bin, sum] of bins.entries()) bytes.writeDoubleLE(sum, 8 * bin);
  yield chunk(bytes);
  return account.counts(view.name);
}

async function* boundOf(inputs: GatherInputs, limit: number): StageOutput {
  const bins = new Float64Array(idBins);
  for (const object of inputs.objects) {
    const bytes = await bytesOf(inputs.read(object, 0));
    for (const bin of bins.keys()) bins[bin] = (bins[bin] ?? 0) + bytes.readDoubleLE(8 * bin);
  }
  yield jsonLines([lastBinOf(bins, limit)]);
  return noDocuments(0);
}

/** The documents that the sample can have. */
async function* sampleShard(view: ShardView, inputs: GatherInputs): StageOutput {
  const account = new Account();
  const last = JSON.parse((await bytesOf(inputs.read(ensure(inputs.objects[0], "a bound"), 0))).toString()) as number;
  async function* within(): AsyncGenerator<readonly [string, string]> {
    for await (const { id, text } of delivered(view, account)) if (binOfId(id) <= last) yield [id, text];
  }
  yield jsonLines(within());
  return account.counts(view.name);
}

async function* delivered(view: ShardView, account: Account): AsyncGenerator<{ readonly id: string; readonly text: string }> {
  for await (const { id, text } of view.documents()) {
    account.enter();
    account.deliver(text);
    yield { id, text };
  }
}

/** Reads the samples twice: first their ids and sizes, then the texts of the smallest ids. */
async function* trainOn(inputs: GatherInputs, vocabSize: number, bytes: number): StageOutput {
  const account = new Account();
  async function* all(): AsyncGenerator<{ readonly id: string; readonly text: string }> {
    for (const object of inputs.objects)
      for await (const line of parsedLines(inputs.read(object, 0))) {
        const [id, text] = line as readonly [string, string];
        yield { id, text };
      }
  }
  const ids = new SampleIds(inputs.scratch);
  for await (const { id, text } of all()) ids.add(id, Buffer.byteLength(text));
  const isSampled = ids.finish(bytes);
  const trainer = new SentencePieceTrainer({ vocabSize });
  try {
    let documents = 0;
    for await (const { id, text } of all()) {
      if (!isSampled(id)) continue;
      documents++;
      account.enter();
      account.deliver(text);
      trainer.add(text);
    }
    if (documents === 0)
      throw new LapidaryError({
        code: "LAP_DATA_EMPTY",
        message: "no document is left to train the tokenizer on",
        location: "tokenize.train",
        remedy: "look at the accounts of the stages before: `lapidary data card`",
      });
    yield chunk(trainer.train().file);
  } finally {
    trainer.close();
  }
  return account.counts("tokenizer");
}

async function* encodeTrained(view: ShardView, inputs: GatherInputs): StageOutput {
  const model = await bytesOf(inputs.read(ensure(inputs.objects[0], "a trained tokenizer"), 0));
  return yield* encodeShardOf(view, new SentencePieceTokenizer(model, "tokenizer.model", {}), "tokenize.train");
}

async function* encodeShardOf(view: ShardView, tokenizer: TextTokenizer, location: string): StageOutput {
  const eos = endOf(tokenizer, location);
  const { bos } = tokenizer.control;
  const account = new Account();
  const documents: ShardDocument[] = [];
  for await (const document of view.documents()) {
    account.enter();
    if (view.setAside.has(document.id)) {
      account.dropDocument(document, killsTheStage);
      continue;
    }
    const ids = Uint32Array.from([...(bos === undefined ? [] : [bos]), ...tokenizer.encode(document.text), eos]);
    account.deliver(document.text);
    account.encode(ids.length);
    documents.push({ id: Buffer.from(document.id, "hex"), ids });
  }
  const { tokens, documents: table, entry } = encodeShard(documents, bytesPerId(tokenizer.vocabSize));
  yield chunk(tokens);
  yield chunk(table);
  // The entry of the shard in the dataset, so that publishing reads no tokens.
  yield jsonLines([{ ...entry, vocab_size: tokenizer.vocabSize }]);
  return withTokens(account.counts(view.name));
}

/** A shard without documents has no tokens, which is a count too. */
const withTokens = (counts: AccountCounts): AccountCounts => ({ tokens: 0, ...counts });

/** @throws LapidaryError LAP_DATA_TOKENIZER */
function endOf({ control }: TextTokenizer, location: string): number {
  if (control.eos !== undefined) return control.eos;
  throw new LapidaryError({
    code: "LAP_DATA_TOKENIZER",
    message: "the tokenizer has no token that ends a document",
    location,
    remedy: "name a tokenizer with EOS, such as a tokenizer.model of Gemma",
  });
}

async function* chunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

async function bytesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const each of chunks) all.push(each);
  return Buffer.concat(all);
}
