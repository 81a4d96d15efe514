import { join } from "node:path";
import { batchOfStep, nodeDisk, readStepLog } from "@lapidary/checkpoint";
import { type MixtureDataset, placedDocuments, rowsWith, sampleDocuments } from "@lapidary/data";
import { DocumentTable, type PublishedDataset, readPublished, TokenStream } from "@lapidary/mixture";
import { readTokenizer, type TextTokenizer } from "@lapidary/tokenizer";
import type { DocumentGroup } from "./recite.js";
import { textTokens } from "./reciting-model.js";

interface SampleSettings {
  /** Documents of each source and split. */
  readonly count: number;
  /** Tokens of a text that are tested. */
  readonly tokens: number;
  readonly seed: number;
}

/**
 * A sample of the documents that a run trains on, and of its held-out documents, by source.
 *
 * @param step the steps that the tested checkpoint has
 */
export function groupsOfRun(
  { dataset, directory }: { readonly dataset: MixtureDataset; readonly directory: string },
  step: number,
  settings: SampleSettings,
): readonly DocumentGroup[] {
  const { skips } = readStepLog(nodeDisk, directory);
  const trained = new Set(Array.from({ length: step }, (_, i) => batchOfStep(i + 1, skips)));
  const { tokenizer } = dataset;
  const around = tokensAround(tokenizer);
  const tested = settings.tokens + around;
  return dataset.manifest.sources.flatMap(({ name }, source) =>
    (["train", "heldout"] as const).map((split): DocumentGroup => {
      const { documents, sample } = sampleDocuments(placedDocuments(dataset, source, split), { ...settings, minTokens: tested });
      const stream = dataset.tokensOf(source, split);
      return {
        name,
        split,
        documents,
        sample: sample.map((document) => {
          const rows = rowsWith(dataset, { ...document, tokens: tested }, step + skips.length).filter(({ batch }) => trained.has(batch));
          return {
            ids: textTokens(stream.read(document.start, document.tokens), tokenizer),
            passes: new Set(rows.map(({ epoch }) => epoch)).size,
          };
        }),
      };
    }),
  );
}

/**
 * A sample of the documents of a published dataset, as a model with another tokenizer or data reads them.
 *
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_DATASET
 */
export function groupsOfDataset(root: string, target: TextTokenizer, settings: SampleSettings): readonly DocumentGroup[] {
  const dataset = readPublished(root);
  const { tokenizer } = readTokenizer(join(root, dataset.tokenizer.file));
  return Object.entries(dataset.sources).map(([name, { shards }]): DocumentGroup => {
    const stream = new TokenStream(
      shards.map(({ tokens, token_count: count }) => ({ path: join(root, tokens), fileTokens: count, first: 0, count })),
      dataset.bytes_per_id,
    );
    try {
      const { documents, sample } = sampleDocuments(placedIn(root, shards), { ...settings, minTokens: settings.tokens / 2 });
      const ids = sample.map(({ start, tokens }) => target.encode(tokenizer.decode(textTokens(stream.read(start, tokens), tokenizer))));
      const sufficient = ids.filter(({ length }) => length >= settings.tokens);
      return { name, split: "train", documents, sample: sufficient.map((each) => ({ ids: each, passes: 0 })) };
    } finally {
      stream.close();
    }
  });
}

type Shards = PublishedDataset["sources"][string]["shards"];

function* placedIn(root: string, shards: Shards): Generator<{ readonly id: string; readonly tokens: number; readonly start: number }> {
  let start = 0;
  for (const { documents, document_count: count } of shards) {
    const table = new DocumentTable(join(root, documents), count);
    try {
      for (const document of table.from()) {
        yield { ...document, start };
        start += document.tokens;
      }
    } finally {
      table.close();
    }
  }
}

/** How many tokens of a document are not text. */
const tokensAround = ({ control: { bos, eos } }: TextTokenizer): number => Number(bos !== undefined) + Number(eos !== undefined);
