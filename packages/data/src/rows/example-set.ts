import { assert, ensure } from "@lapidary/std";
import { readTokenizer, type TextTokenizer, type TokenizerFiles, hashOfTokenizer, withTurnTokens } from "@lapidary/tokenizer";
import { type ChatTokenizer, chatTokenizer } from "../examples/chat-tokenizer.js";
import { encodeExamples, type EncodedPair, type EncodedPrompt, encodePair, encodePrompt } from "../examples/encode.js";
import type { Example, RefusedRow } from "../examples/example.js";
import { noExamples } from "../examples/example-errors.js";
import { type Mixture, mixtureOf } from "../examples/mixture.js";
import { TrainingOrder } from "../examples/training-order.js";
import { readRows } from "./read-rows.js";
import { countCodes, maxNamedRows, type RowsManifest } from "./rows-manifest.js";
import type { RowsRequest } from "./rows-request.js";

/** What a run records of its examples. */
type ExampleSetManifest = Pick<
  RowsManifest,
  "corpus" | "vocabSize" | "tokenizerHash" | "control" | "splits" | "unigramNats" | "refused" | "filters"
>;

/** An encoded prompt, and what a checker reads as its text: the text, or the last turn. */
export interface TextPrompt extends EncodedPrompt {
  readonly text: string;
}

export interface ExampleSetRequest extends RowsRequest {
  /** Rows of a batch for each example. */
  readonly rowsPerExample: number;
  /** The loss of a model that cannot tell examples apart, nats. */
  readonly chanceLoss: number;
}

interface ExampleSetParts<T> {
  readonly kind: "pairs" | "prompts";
  readonly rowsPerExample: number;
  readonly manifest: ExampleSetManifest;
  readonly tokenizer: TextTokenizer;
  readonly tokenizerFiles: TokenizerFiles;
  readonly chat: ChatTokenizer;
  readonly sources: readonly (readonly T[])[];
  readonly mixture: Mixture;
  readonly heldout: readonly T[];
}

/**
 * Encoded examples in the memory of this process: pairs of answers, or prompts. The controller of a step sends them to the workers. The examples of a
 * step are a function of (seed, step).
 */
export class ExampleSet<T> {
  /** Workers read no files of it. */
  readonly directory = "";
  readonly kind: "pairs" | "prompts";
  readonly manifest: ExampleSetManifest;
  readonly tokenizer: TextTokenizer;
  readonly tokenizerFiles: TokenizerFiles;
  readonly chat: ChatTokenizer;
  readonly heldout: readonly T[];
  readonly #sources: readonly (readonly T[])[];
  readonly #rowsPerExample: number;
  readonly #mixture: Mixture;
  /** The order of the seed that was read last: a run has one seed. */
  #order: { readonly seed: number; readonly order: TrainingOrder } | undefined;

  /** Use `readPairs` or `readPrompts`. */
  constructor(parts: ExampleSetParts<T>) {
    ({ kind: this.kind, manifest: this.manifest, tokenizer: this.tokenizer, heldout: this.heldout } = parts);
    ({ tokenizerFiles: this.tokenizerFiles, chat: this.chat } = parts);
    [this.#sources, this.#rowsPerExample, this.#mixture] = [parts.sources, parts.rowsPerExample, parts.mixture];
  }

  /** All training examples, source by source. */
  get training(): readonly T[] {
    return this.#sources.flat();
  }

  /** Number of batches of `rows` rows that cover the held-out examples once. */
  heldoutBatches(rows: number): number {
    return Math.ceil((this.heldout.length * this.#rowsPerExample) / rows);
  }

  close(): void {
    // Nothing is open.
  }

  /** The training examples of a step. */
  train(seed: number, step: number, count: number): T[] {
    if (this.#order?.seed !== seed) this.#order = { seed, order: new TrainingOrder({ mixture: this.#mixture, seed }) };
    return this.#order.order.rows(step, count).map(([item]) => {
      const { source, index } = ensure(item, "example");
      return ensure(this.#sources[source]?.[index], "example");
    });
  }

  /** Held-out batch number `batch` of `count` examples. The first examples fill the last batch. `own` of them count. */
  heldoutBatch(batch: number, count: number): { readonly examples: readonly T[]; readonly own: number } {
    const first = batch * count;
    assert(first < this.heldout.length, "a held-out batch has an example", batch, count, this.heldout.length);
    const examples = Array.from({ length: count }, (_, i) => ensure(this.heldout[(first + i) % this.heldout.length], "example"));
    return { examples, own: Math.min(count, this.heldout.length - first) };
  }
}

/**
 * @param request `margin` is that of pairs without a key of that name
 * @throws LapidaryError as `prepareRows`
 */
export const readPairs = (request: ExampleSetRequest & { readonly margin?: number }): ExampleSet<EncodedPair> =>
  readExampleSet(request, {
    kind: "pairs",
    encode: (example, tokenizer) => encodePair(example, tokenizer, request),
    tokensOf: ({ chosen, rejected }) => chosen.ids.length + rejected.ids.length,
    targetsOf: ({ chosen, rejected }) => [chosen, rejected].reduce((sum, { mask }) => sum + mask.reduce((ones, each) => ones + each, 0), 0),
  });

/** @throws LapidaryError as `prepareRows` */
export const readPrompts = (request: ExampleSetRequest): ExampleSet<TextPrompt> =>
  readExampleSet(request, {
    kind: "prompts",
    encode: (example, tokenizer) => ({ ...encodePrompt(example, tokenizer, { seq: request.seq }), text: questionOf(example) }),
    tokensOf: ({ ids }) => ids.length,
    targetsOf: () => 0,
  });

function questionOf(example: Example): string {
  if (example.kind !== "prompt") return "";
  const { prompt } = example;
  return typeof prompt === "string" ? prompt : (prompt.at(-1)?.content ?? "");
}

interface Encoding<T> {
  readonly kind: "pairs" | "prompts";
  readonly encode: (example: Example, tokenizer: ChatTokenizer) => T;
  readonly tokensOf: (encoded: T) => number;
  readonly targetsOf: (encoded: T) => number;
}

function readExampleSet<T>(request: ExampleSetRequest, { kind, encode, tokensOf, targetsOf }: Encoding<T>): ExampleSet<T> {
  const read = readRows(request);
  const stored = readTokenizer(request.tokenizer);
  const { tokenizer, files } = withTurnTokens(stored.tokenizer) ?? stored;
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
  const mixture = mixtureOf(
    read.sources.map(({ name, share }, at) => ({
      name,
      size: ensure(sources[at], "source").length,
      ...(share === undefined ? {} : { share }),
    })),
  );
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
  return new ExampleSet({
    kind,
    rowsPerExample: request.rowsPerExample,
    manifest,
    tokenizer,
    tokenizerFiles: files,
    chat,
    sources,
    mixture,
    heldout,
  });
}
