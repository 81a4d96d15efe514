import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { ObjectStore, type OutputStore, type StoredObject } from "@lapidary/data-store";
import { bytesPerId, type PublishedDataset, type PublishedSource, writePublished } from "@lapidary/mixture";
import { assert, ensure } from "@lapidary/std";
import { readTokenizer } from "@lapidary/tokenizer";
import { z } from "zod";
import { settingsAs } from "../file/pipeline-file.js";
import { parsedLines } from "../view/json-lines.js";
import { storedObject } from "../view/open-view.js";
import type { PlanFile } from "./plan-file.js";
import { stageAccounts } from "./stage-accounts.js";

const entrySchema = z.object({ token_count: z.number(), document_count: z.number(), sha256: z.string(), vocab_size: z.number() });

/**
 * Writes `dataset.json`, after all shards are stored. Reads no tokens.
 *
 * @returns undefined if the pipeline does not tokenize
 * @throws LapidaryError LAP_DATA_ACCOUNT, LAP_DATA_STORE, LAP_FILE_…
 */
export async function publish(out: string, store: OutputStore, plan: PlanFile): Promise<PublishedDataset | undefined> {
  const last = plan.stages.at(-1);
  if (last?.stage !== "tokenize") return undefined;
  // A pipeline whose sums do not meet has no result.
  await stageAccounts(store, plan);
  const tables = new Map(Object.keys(plan.sources).map((name) => [name, { bytes: 0, shards: [] as PublishedSource["shards"] }]));
  let vocabSize: number | undefined;
  for (const { source, tokens: key } of plan.shards()) {
    const table = ensure(tables.get(source), source);
    const object = await storedObject(store, ensure(key, "tokens of a shard"));
    const { vocab_size, ...entry } = await entryOf(store, object);
    vocabSize ??= vocab_size;
    table.bytes += object.account.bytes;
    if (entry.document_count === 0) continue;
    if (plan.store !== undefined) await copyObject(store, new ObjectStore(out), object);
    table.shards.push({ tokens: partPath(object.key, 0), documents: partPath(object.key, 1), ...entry });
  }
  const sources: Record<string, PublishedSource> = {};
  for (const [name, { bytes, shards }] of tables) {
    const sum = (of: "token_count" | "document_count"): number => shards.reduce((total, shard) => total + shard[of], 0);
    const licence = ensure(plan.sources[name], name).licence;
    sources[name] = { licence, documents: sum("document_count"), tokens: sum("token_count"), bytes, shards };
  }
  const size = ensure(vocabSize, "a shard");
  const tokenizer = { ...(await publishTokenizer(out, store, plan)), vocab_size: size };
  const dataset: PublishedDataset = { version: 1, tokenizer, bytes_per_id: bytesPerId(size), sources };
  writePublished(out, dataset);
  return dataset;
}

const partPath = (key: string, part: number): string => `objects/${key}/part-${part}`;

/** Rows are read from the disk at random, so the output directory has the tokens, wherever the outputs of the other stages are. */
async function copyObject(from: OutputStore, to: ObjectStore, object: StoredObject): Promise<void> {
  await to.write(object.key, async function* () {
    for (const part of object.parts.keys()) yield from.read(object, part);
    return object.account;
  });
}

async function entryOf(store: OutputStore, object: StoredObject): Promise<z.infer<typeof entrySchema>> {
  for await (const line of parsedLines(store.read(object, 2))) return entrySchema.parse(line);
  return assert(false, "a shard of tokens has an entry", object.key) as never;
}

/** Copies the files of the tokenizer to a directory that has their digest as its name, so that other datasets keep theirs. */
async function publishTokenizer(
  out: string,
  store: OutputStore,
  plan: PlanFile,
): Promise<{ readonly file: string; readonly sha256: string }> {
  const { name, files } = plan.trained === undefined ? givenTokenizer(plan) : await trainedTokenizer(store, plan.trained);
  const content = ensure(files.get(name), name);
  const hash = createHash("sha256");
  for (const [file, bytes] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${file}\0${bytes.length}\0`).update(bytes);
  const directory = `tokenizers/${hash.digest("hex").slice(0, 16)}`;
  writeDirectory(join(out, directory), files);
  return { file: `${directory}/${name}`, sha256: createHash("sha256").update(content).digest("hex") };
}

interface NamedFiles {
  /** The file that defines the ids. */
  readonly name: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

function givenTokenizer(plan: PlanFile): NamedFiles {
  const settings = settingsAs("tokenize", ensure(plan.stages.at(-1), "tokenize").settings);
  assert("tokenizer" in settings, "the tokenizer is given or trained");
  const { files } = readTokenizer(settings.tokenizer);
  const names = ["lapidary_tokenizer.json", "tokenizer.json", "tokenizer.model"];
  return {
    name: ensure(
      names.find((each) => files.has(each)),
      "a file of the tokenizer",
    ),
    files,
  };
}

async function trainedTokenizer(store: OutputStore, key: string): Promise<NamedFiles> {
  const chunks: Buffer[] = [];
  for await (const chunk of store.read(await storedObject(store, key), 0)) chunks.push(chunk);
  return { name: "tokenizer.model", files: new Map([["tokenizer.model", Buffer.concat(chunks)]]) };
}

function writeDirectory(directory: string, files: ReadonlyMap<string, Uint8Array>): void {
  if (existsSync(directory)) return;
  const unfinished = `${directory}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  for (const [name, bytes] of files) writeFileSync(join(unfinished, name), bytes, { flush: true });
  renameSync(unfinished, directory);
}
