import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bytesPerId, encodeShard, type PublishedDataset, type PublishedSource, writePublished } from "@lapidary/mixture";
import { ensure } from "@lapidary/std";
import { checkpointFilesOf, filesOfTrained, trainTokenizer } from "@lapidary/tokenizer";

/** The id of a document of a source. */
export const documentId = (source: string, number: number): string => createHash("sha256").update(`${source}/${number}`).digest("hex");

/**
 * Publishes texts as the sources of a pipeline, with a tokenizer that is trained on them. Each source has shards of at most `perShard` documents.
 *
 * @param sources the documents of each source by its name
 */
export function publishSources(
  directory: string,
  sources: Readonly<Record<string, readonly string[]>>,
  { vocabSize = 300, perShard = 50 }: { readonly vocabSize?: number; readonly perShard?: number } = {},
): PublishedDataset {
  mkdirSync(directory, { recursive: true });
  const tokenizer = trainTokenizer(Object.values(sources).flat(), { vocabSize });
  const files = checkpointFilesOf(filesOfTrained(tokenizer));
  for (const [name, content] of files) writeFileSync(join(directory, name), content);
  const file = ensure(files.get("tokenizer.json"), "tokenizer.json");
  const width = bytesPerId(tokenizer.vocabSize);
  const [bos, eos] = [ensure(tokenizer.control.bos, "BOS"), ensure(tokenizer.control.eos, "EOS")];
  const published: Record<string, PublishedSource> = {};
  for (const [name, texts] of Object.entries(sources)) {
    const shards = Array.from({ length: Math.ceil(texts.length / perShard) }, (_, shard) => {
      const documents = texts.slice(shard * perShard, (shard + 1) * perShard).map((text, i) => ({
        id: Buffer.from(documentId(name, shard * perShard + i), "hex"),
        ids: [bos, ...tokenizer.encode(text), eos],
      }));
      const { tokens, documents: table, entry } = encodeShard(documents, width);
      const object = `objects/${name}-${shard}`;
      mkdirSync(join(directory, object), { recursive: true });
      writeFileSync(join(directory, object, "part-0"), tokens);
      writeFileSync(join(directory, object, "part-1"), table);
      return { tokens: `${object}/part-0`, documents: `${object}/part-1`, ...entry };
    });
    published[name] = {
      licence: "CC0-1.0",
      documents: texts.length,
      tokens: shards.reduce((sum, { token_count }) => sum + token_count, 0),
      bytes: texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0),
      shards,
    };
  }
  const dataset: PublishedDataset = {
    version: 1,
    tokenizer: {
      file: "tokenizer.json",
      sha256: createHash("sha256").update(file).digest("hex"),
      vocab_size: tokenizer.vocabSize,
    },
    bytes_per_id: width,
    sources: published,
  };
  writePublished(directory, dataset);
  return dataset;
}

/** Small documents of three sources, which differ in their words. */
export function threeSources(documents: number): Record<"web" | "code" | "maths", string[]> {
  const numbered = (of: (i: number) => string, share = 1): string[] =>
    Array.from({ length: Math.round(documents * share) }, (_, i) => of(i));
  const words = ["river", "stone", "light", "field", "cloud", "house", "garden", "winter"];
  return {
    web: numbered((i) => `The ${words[i % 8]} number ${i} is near the ${words[(i * 3 + 1) % 8]} and the ${words[(i * 5 + 2) % 8]}.`),
    code: numbered((i) => `let v${i} = f(${i % 9}); if (v${i} > ${i}) { return v${i} + ${i % 7}; }`, 0.5),
    maths: numbered((i) => `${i} + ${i % 13} = ${i + (i % 13)}; ${i} * 2 = ${i * 2}.`, 0.3),
  };
}
