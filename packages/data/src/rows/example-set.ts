import { assert, ensure } from "@lapidary/std";
import type { TextTokenizer, TokenizerFiles } from "@lapidary/tokenizer";
import type { ChatTokenizer } from "../examples/chat-tokenizer.js";
import type { EncodedPrompt } from "../examples/encode.js";
import { type Mixture, type MixtureSource, mixtureOf } from "../examples/mixture.js";
import { TrainingOrder } from "../examples/training-order.js";
import type { RowsManifest } from "./rows-manifest.js";
import type { RowsRequest } from "./rows-request.js";

/** What a run records of its examples. */
export type ExampleSetManifest = Pick<
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

export interface PairSetRequest extends ExampleSetRequest {
  /** The margin of pairs without a key of that name; 0 by default. */
  readonly margin?: number;
}

/** Encoded examples without the tokenizer that encoded them. A thread can send them. */
export interface EncodedExamples<T> {
  readonly manifest: ExampleSetManifest;
  readonly sources: readonly (readonly T[])[];
  readonly mixed: readonly MixtureSource[];
  readonly heldout: readonly T[];
}

interface ExampleSetParts<T> extends EncodedExamples<T> {
  readonly kind: "pairs" | "prompts";
  readonly rowsPerExample: number;
  readonly tokenizer: TextTokenizer;
  readonly tokenizerFiles: TokenizerFiles;
  readonly chat: ChatTokenizer;
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
    [this.#sources, this.#rowsPerExample, this.#mixture] = [parts.sources, parts.rowsPerExample, mixtureOf(parts.mixed)];
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
