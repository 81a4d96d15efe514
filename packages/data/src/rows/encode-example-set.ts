import { ensure } from "@lapidary/std";
import { hashOfTokenizer, readTokenizer, type TextTokenizer, type TokenizerFiles, withTurnTokens } from "@lapidary/tokenizer";
import { type ChatTokenizer, chatTokenizer } from "../examples/chat-tokenizer.js";
import { encodeExamples, type EncodedPair, encodePair, encodePrompt } from "../examples/encode.js";
import type { Example, RefusedRow } from "../examples/example.js";
import { noExamples } from "../examples/example-errors.js";
import type { EncodedExamples, ExampleSetManifest, ExampleSetRequest, PairSetRequest, TextPrompt } from "./example-set.js";
import { readRows } from "./read-rows.js";
import { countCodes, maxNamedRows, type RowsManifest } from "./rows-manifest.js";

/** @throws LapidaryError as `prepareRows` */
export const encodePairs = (request: PairSetRequest): EncodedExamples<EncodedPair> =>
  encodeWith(request, {
    encode: (example, tokenizer) => encodePair(example, tokenizer, request),
    tokensOf: ({ chosen, rejected }) => chosen.ids.length + rejected.ids.length,
    targetsOf: ({ chosen, rejected }) => [chosen, rejected].reduce((sum, { mask }) => sum + mask.reduce((ones, each) => ones + each, 0), 0),
  });

/** @throws LapidaryError as `prepareRows` */
export const encodePrompts = (request: ExampleSetRequest): EncodedExamples<TextPrompt> =>
  encodeWith(request, {
    encode: (example, tokenizer) => ({ ...encodePrompt(example, tokenizer, { seq: request.seq }), text: questionOf(example) }),
    tokensOf: ({ ids }) => ids.length,
    targetsOf: () => 0,
  });

/** The tokenizer of a checkpoint with tokens for turns, if it can have them. */
export function turnTokenizer(path: string): { readonly tokenizer: TextTokenizer; readonly files: TokenizerFiles } {
  const stored = readTokenizer(path);
  return withTurnTokens(stored.tokenizer) ?? stored;
}

function questionOf(example: Example): string {
  if (example.kind !== "prompt") return "";
  const { prompt } = example;
  return typeof prompt === "string" ? prompt : (prompt.at(-1)?.content ?? "");
}

interface Encoding<T> {
  readonly encode: (example: Example, tokenizer: ChatTokenizer) => T;
  readonly tokensOf: (encoded: T) => number;
  readonly targetsOf: (encoded: T) => number;
}

function encodeWith<T>(request: ExampleSetRequest, { encode, tokensOf, targetsOf }: Encoding<T>): EncodedExamples<T> {
  const read = readRows(request);
  const { tokenizer, files } = turnTokenizer(request.tokenizer);
  const chat = chatTokenizer(tokenizer);
  const refused: RefusedRow[] = [...read.refused];
  const encodeAll = (name: string, examples: readonly Example[]): readonly T[] => {
    const result = encodeExamples(examples, (example) => encode(example, chat));
    refused.push(...result.refused);
    const [first] = result.refused;
    if (result.encoded.length === 0) throw noExamples(name, first === undefined ? undefined : `row ${first.row}: ${first.reason}`);
    return result.encoded;
  };
  const sources = read.sources.map(({ name, examples }) => encodeAll(name, examples));
  const heldout = encodeAll("the evaluation set", read.heldout);
  const mixed = read.sources.map(({ name, share }, at) => ({
    name,
    size: ensure(sources[at], "source").length,
    ...(share === undefined ? {} : { share }),
  }));
  const summary = (all: readonly T[]): RowsManifest["splits"]["train"] => ({
    documents: all.length,
    tokens: all.reduce((sum, each) => sum + tokensOf(each), 0),
    targets: all.reduce((sum, each) => sum + targetsOf(each), 0),
  });
  const manifest: ExampleSetManifest = {
    corpus: [...new Set(request.train.map(({ path }) => path))].join(", "),
    vocabSize: tokenizer.vocabSize,
    tokenizerHash: hashOfTokenizer(files),
    control: { ...tokenizer.control, stops: [...tokenizer.control.stops] },
    splits: { train: summary(sources.flat()), heldout: summary(heldout) },
    unigramNats: request.chanceLoss,
    refused: { byCode: countCodes(refused), first: refused.slice(0, maxNamedRows) },
    filters: read.reports.map(({ filter, checked, removed, removedByKind }) => ({ filter, checked, removed, removedByKind })),
  };
  return { manifest, sources, mixed, heldout };
}
