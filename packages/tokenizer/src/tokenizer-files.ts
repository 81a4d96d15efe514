import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { badTokenizer, conflictingTokenizers, missingTokenizer, missingTokenizerPath } from "./tokenizer-errors.js";
import { type HuggingFaceTokenizerFiles, toHuggingFace } from "./to-hugging-face.js";
import { HuggingFaceTokenizer } from "./huggingface/hugging-face-tokenizer.js";
import { SentencePieceTokenizer } from "./sentencepiece/sentencepiece-tokenizer.js";
import type { TextTokenizer } from "./text-tokenizer.js";
import { Tokenizer } from "./tokenizer.js";
import { tokenizerFromJSON } from "./tokenizer-json.js";

/** Contents by name. */
export type TokenizerFiles = ReadonlyMap<string, Uint8Array>;

/** A trained tokenizer, in the format of Lapidary. */
export const ownTokenizerFile = "lapidary_tokenizer.json";
const hubTokenizerFile = "tokenizer.json";
const sentencePieceFile = "tokenizer.model";
/** The files that define ids. The first that a directory has is its tokenizer. */
const definingFiles = [ownTokenizerFile, hubTokenizerFile, sentencePieceFile];
/** Among the files of a tokenizer, `config.json` has only the ids of control tokens. A checkpoint has its own `config.json`. */
const configFile = "config.json";

/** Files of a checkpoint that belong to its tokenizer. A run that starts from the checkpoint copies them unchanged to its checkpoints. */
export const tokenizerFileNames = [
  ownTokenizerFile,
  hubTokenizerFile,
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "generation_config.json",
  "chat_template.jinja",
  "chat_template.json",
  sentencePieceFile,
] as const;

/** Files of unsupported tokenizers, for errors. */
const otherForms = ["spiece.model", "vocab.json", "vocab.txt", "merges.txt"];

export interface StoredTokenizer {
  readonly tokenizer: TextTokenizer;
  readonly files: TokenizerFiles;
  /** The file that defines the ids, for messages. */
  readonly place: string;
}

/**
 * The tokenizer of a checkpoint: `lapidary_tokenizer.json` if a run of Lapidary wrote it, else the `tokenizer.json` of Hugging Face, else
 * the `tokenizer.model` of SentencePiece.
 *
 * @param path a directory, or the file itself
 * @throws LapidaryError `LAP_CHECKPOINT_TOKENIZER`, `LAP_TOKENIZER_UNSUPPORTED`, `LAP_TOKENIZER_CONFLICT`, `LAP_DATA_TOKENIZER`
 */
export function readTokenizer(path: string): StoredTokenizer {
  const { directory, files } = collect(path);
  const own = files.get(ownTokenizerFile);
  const hub = files.get(hubTokenizerFile);
  if (own !== undefined) {
    const place = join(directory, ownTokenizerFile);
    const tokenizer = tokenizerFromJSON(parse(own, place), place);
    const written = toHuggingFace(tokenizer);
    if (hub !== undefined) checkSame(directory, written, parse(hub, join(directory, hubTokenizerFile)));
    return { tokenizer, files: new Map([...encoded(written), ...files]), place };
  }
  const json = (name: string): object => {
    const content = files.get(name);
    return content === undefined ? {} : { [name]: parse(content, join(directory, name)) };
  };
  const others = ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json", configFile];
  const named = Object.assign({}, ...others.map(json)) as object;
  const model = files.get(sentencePieceFile);
  if (hub === undefined && model !== undefined) {
    const place = path === directory ? join(directory, sentencePieceFile) : path;
    return { tokenizer: new SentencePieceTokenizer(model, place, named), files, place };
  }
  const place = join(directory, hubTokenizerFile);
  return { tokenizer: new HuggingFaceTokenizer(parse(hub ?? Buffer.of(), place), place, named), files, place };
}

/**
 * The files of a tokenizer, unparsed.
 *
 * @throws LapidaryError `LAP_CHECKPOINT_TOKENIZER`
 */
export function readTokenizerFiles(path: string): TokenizerFiles {
  return collect(path).files;
}

/**
 * The files that `readTokenizer` reads. A file other than the one that defines the ids can change a control token.
 *
 * @throws LapidaryError `LAP_CHECKPOINT_TOKENIZER`
 */
export function tokenizerPaths(path: string): readonly string[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw missingTokenizerPath(path);
  const isDirectory = stats.isDirectory();
  const directory = isDirectory ? path : dirname(path);
  const others = [...tokenizerFileNames, configFile].filter((name) => isDirectory || !definingFiles.includes(name));
  const found = others.map((name) => join(directory, name)).filter((file) => file !== path && existsSync(file));
  return isDirectory ? found : [path, ...found];
}

/** Whether a directory has a tokenizer that `readTokenizer` reads. */
export function hasTokenizer(directory: string): boolean {
  return definingFiles.some((name) => existsSync(join(directory, name)));
}

/** The files of a trained tokenizer. */
export function filesOfTrained(tokenizer: Tokenizer): TokenizerFiles {
  return new Map([...encoded(toHuggingFace(tokenizer)), [ownTokenizerFile, Buffer.from(JSON.stringify(tokenizer), "utf8")]]);
}

/** The files of a tokenizer without `config.json`, because a checkpoint has its own. */
export function checkpointFilesOf(files: TokenizerFiles): TokenizerFiles {
  return new Map([...files].filter(([name]) => name !== configFile));
}

/** SHA-256 of the files. Tokenizers with the same hash encode a text as the same ids. */
export function hashOfTokenizer(files: TokenizerFiles): string {
  const hash = createHash("sha256");
  for (const [name, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${name}\0${content.length}\0`).update(content);
  return hash.digest("hex");
}

/** Writes the files into a directory, atomically. */
export function writeTokenizerFiles(directory: string, files: TokenizerFiles): void {
  const scratch = `${directory}.${process.pid}.tmp`;
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { mode: 0o700 });
  for (const [name, content] of files) writeFileSync(join(scratch, name), content, { flush: true, mode: 0o600 });
  renameSync(scratch, directory);
}

function collect(path: string): { readonly directory: string; readonly files: TokenizerFiles } {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw missingTokenizerPath(path);
  const [directory, named] = stats.isDirectory() ? [path, undefined] : [dirname(path), basename(path)];
  const read = (name: string): [string, Uint8Array][] =>
    existsSync(join(directory, name)) ? [[name, readFileSync(join(directory, name))]] : [];
  const found = new Map<string, Uint8Array>(tokenizerFileNames.flatMap(read));
  // The control tokens of trained tokenizers are always the same.
  const all = found.has(ownTokenizerFile) ? found : new Map([...found, ...controlIds(directory)]);
  if (named !== undefined) return { directory, files: onlyNamed(path, named, all) };
  if (definingFiles.some((name) => all.has(name))) return { directory, files: all };
  throw missingTokenizer(
    directory,
    otherForms.find((name) => existsSync(join(directory, name))),
  );
}

/** A file that a job names is the tokenizer, independently of its name. The other files of its directory define the control tokens. */
function onlyNamed(path: string, named: string, all: ReadonlyMap<string, Uint8Array>): TokenizerFiles {
  const content = readFileSync(path);
  const isOwn = named === ownTokenizerFile || content.subarray(0, 200).includes('"lapidary-bpe"');
  const rest = [...all].filter(([name]) => !definingFiles.includes(name));
  if (isOwn) return new Map([[ownTokenizerFile, content]]);
  return new Map([...rest, [isModelFile(named, content) ? sentencePieceFile : hubTokenizerFile, content]]);
}

/** JSON has no control characters below the tab; the lengths in a `.model` file are such bytes. */
const isModelFile = (named: string, content: Uint8Array): boolean =>
  named.endsWith(".model") || content.subarray(0, 200).some((byte) => byte < 0x09);

/** The ids of control tokens in a `config.json`. */
function controlIds(directory: string): [string, Uint8Array][] {
  const path = join(directory, configFile);
  if (!existsSync(path)) return [];
  const config = parse(readFileSync(path), path);
  const ids = Object.entries(typeof config === "object" && config !== null ? config : {}).filter(([key]) =>
    /^(bos|eos|pad)_token_id$/.test(key),
  );
  return [[configFile, Buffer.from(JSON.stringify(Object.fromEntries(ids.sort())), "utf8")]];
}

function parse(content: Uint8Array, place: string): unknown {
  const text = Buffer.from(content).toString("utf8");
  if (text.startsWith("version https://git-lfs"))
    throw badTokenizer(place, "the file is a pointer of Git LFS", "run `git lfs pull` in the directory of the checkpoint");
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw badTokenizer(place, `the file is not JSON (${cause instanceof Error ? cause.message : String(cause)})`);
  }
}

const encoded = (files: HuggingFaceTokenizerFiles): [string, Uint8Array][] =>
  Object.entries(files).map(([name, json]) => [name, Buffer.from(JSON.stringify(json), "utf8")]);

interface HubFile {
  readonly added_tokens?: readonly { readonly id?: unknown; readonly content?: unknown }[];
  readonly model?: { readonly vocab?: Readonly<Record<string, unknown>>; readonly merges?: readonly unknown[] };
}

/** A `tokenizer.json` next to `lapidary_tokenizer.json` is for transformers, which may have rewritten it. It must have the same tokens. */
function checkSame(directory: string, written: HuggingFaceTokenizerFiles, found: unknown): void {
  const ours = written[hubTokenizerFile] as HubFile;
  const theirs = (typeof found === "object" && found !== null ? found : {}) as HubFile;
  const difference = differenceOf(ours, theirs);
  if (difference !== undefined) throw conflictingTokenizers(directory, difference);
}

function differenceOf(ours: HubFile, theirs: HubFile): string | undefined {
  const [ourIds, theirIds] = [ours.model?.vocab ?? {}, theirs.model?.vocab ?? {}];
  const other =
    Object.keys(ourIds).find((token) => ourIds[token] !== theirIds[token]) ?? Object.keys(theirIds).find((token) => !(token in ourIds));
  if (other !== undefined)
    return `the token ${JSON.stringify(other)} has the id ${String(ourIds[other] ?? "none")} in one and ${String(theirIds[other] ?? "none")} in the other`;
  const pairs = (file: HubFile): string[] =>
    (file.model?.merges ?? []).map((merge) => (Array.isArray(merge) ? merge.join(" ") : String(merge)));
  if (pairs(ours).join("\n") !== pairs(theirs).join("\n")) return "their merges differ";
  const added = (file: HubFile): string => JSON.stringify((file.added_tokens ?? []).map(({ id, content }) => [id, content]));
  return added(ours) === added(theirs) ? undefined : "their added tokens differ";
}
