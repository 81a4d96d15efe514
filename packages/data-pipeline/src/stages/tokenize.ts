import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { Account, type AccountCounts } from "@lapidary/data-store";
import { bytesPerId, encodeShard, type ShardDocument } from "@lapidary/mixture";
import { asJson, ensure, LapidaryError } from "@lapidary/std";
import { readTokenizer, SentencePieceTokenizer, type TextTokenizer, trainSentencePiece } from "@lapidary/tokenizer";
import { z } from "zod";
import { amount } from "../file/amounts.js";
import { jsonLines, parsedLines } from "../view/json-lines.js";
import type { ShardView } from "../view/view.js";
import { killsTheStage } from "./map-documents.js";
import { smallestTexts } from "./sample.js";
import type { GatherInputs, Stage, StageOutput, Step } from "./stage.js";

const given = z.strictObject({ tokenizer: z.string().min(1) });
const trained = z.strictObject({ train: z.strictObject({ size: amount, from: amount.default(2e9) }) });
const settings = z.union([given, trained]);
export type TokenizeSettings = z.output<typeof settings>;
type TrainSettings = z.output<typeof trained>;

/** Texts → ids of a tokenizer, in the format of a published dataset: part-0 has the ids, part-1 the table of documents. */
export const tokenize: Stage<TokenizeSettings> = {
  settings,
  changes: false,
  located: (settings, resolvePath) => ("tokenizer" in settings ? { tokenizer: resolvePath(settings.tokenizer) } : settings),
  config: (settings) => ("tokenizer" in settings ? "given" : asJson(settings)),
  files: (settings) => ("tokenizer" in settings ? tokenizerPaths(settings.tokenizer) : []),
  steps: (settings) =>
    "tokenizer" in settings
      ? [
          {
            shape: "map",
            name: "encode",
            code: "1",
            writes: "tokens",
            run: (view) => encodeShardOf(view, readTokenizer(settings.tokenizer).tokenizer, settings.tokenizer),
          },
        ]
      : trainingSteps(settings),
};

/** The file that defines the ids, and the files next to it that define the control tokens. */
function tokenizerPaths(path: string): readonly string[] {
  const { place, files } = readTokenizer(path);
  const named = statSync(path).isFile() ? path : place;
  const others = [...files.keys()].map((name) => join(dirname(named), name)).filter((each) => existsSync(each));
  return [...new Set([named, ...others])].sort();
}

/** A sample of the documents, chosen by their ids, trains the tokenizer, so the shards and their order do not matter. */
function trainingSteps(settings: TrainSettings): readonly Step<TokenizeSettings>[] {
  const { size, from } = settings.train;
  return [
    { shape: "scatter", name: "sample", code: "1", partitions: () => 1, run: (view) => sampleShard(view, from) },
    { shape: "gather", name: "train", code: "1", partitions: () => 1, run: (inputs) => trainOn(inputs, size, from) },
    {
      shape: "join",
      name: "encode",
      code: "1",
      writes: "tokens",
      run: (view, inputs) => encodeTrained(view, inputs),
    },
  ];
}

/** The documents with the smallest ids, sorted by id. */
async function* sampleShard(view: ShardView, bytes: number): StageOutput {
  const account = new Account();
  const sample = await smallestTexts(delivered(view, account), bytes);
  yield jsonLines(sample.map(({ id, text }) => [id, text]));
  return account.counts(view.name);
}

async function* delivered(view: ShardView, account: Account): AsyncGenerator<{ readonly id: string; readonly text: string }> {
  for await (const { id, text } of view.documents()) {
    account.enter();
    account.deliver(text);
    yield { id, text };
  }
}

async function* trainOn(inputs: GatherInputs, vocabSize: number, bytes: number): StageOutput {
  const account = new Account();
  async function* all(): AsyncGenerator<{ readonly id: string; readonly text: string }> {
    for (const object of inputs.objects)
      for await (const line of parsedLines(inputs.read(object, 0))) {
        const [id, text] = line as readonly [string, string];
        yield { id, text };
      }
  }
  const sample = await smallestTexts(all(), bytes);
  for (const { text } of sample) {
    account.enter();
    account.deliver(text);
  }
  if (sample.length === 0)
    throw new LapidaryError({
      code: "LAP_DATA_EMPTY",
      message: "no document is left to train the tokenizer on",
      location: "tokenize.train",
      remedy: "look at the accounts of the stages before: `lapidary data card`",
    });
  const { file } = trainSentencePiece(
    sample.map(({ text }) => text),
    { vocabSize },
  );
  yield chunk(file);
  return account.counts("tokenizer");
}

async function* encodeTrained(view: ShardView, inputs: GatherInputs): StageOutput {
  const model: Buffer[] = [];
  for await (const part of inputs.read(ensure(inputs.objects[0], "a trained tokenizer"), 0)) model.push(part);
  return yield* encodeShardOf(view, new SentencePieceTokenizer(Buffer.concat(model), "tokenizer.model", {}), "tokenize.train");
}

async function* encodeShardOf(view: ShardView, tokenizer: TextTokenizer, location: string): StageOutput {
  const eos = endOf(tokenizer, location);
  const account = new Account();
  const documents: ShardDocument[] = [];
  for await (const document of view.documents()) {
    account.enter();
    if (view.setAside.has(document.id)) {
      account.dropDocument(document, killsTheStage);
      continue;
    }
    const ids = Uint32Array.from([...tokenizer.encode(document.text), eos]);
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
