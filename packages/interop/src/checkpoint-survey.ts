import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { LapidaryError, suggest } from "@lapidary/std";
import { fileKind, saveAsSafetensors, withDirectory } from "./file-kind.js";

/** Content that a directory has instead of a readable checkpoint, and the step that makes a checkpoint from it. */
interface Finding {
  readonly what: string;
  readonly remedy: string;
}

interface Listing {
  readonly directory: string;
  readonly files: readonly string[];
  readonly folders: readonly string[];
}

/** The error code for a directory without any recognized content. */
type MissingCode = "LAP_CHECKPOINT_MISSING" | "LAP_CHECKPOINT_NOT_FOUND";

const maxNamesShown = 3;

export const noConfig = "no config.json";

/**
 * The error for a path that is not a readable checkpoint directory. It names the content of the directory (an adapter, pickled weights, unfinished
 * downloads, a folder with a checkpoint) and the step that leads to a checkpoint.
 *
 * @param lacks the missing part; completes the sentence "the directory has …"
 * @param code the error code if no content is recognized
 */
export async function notACheckpoint(path: string, lacks: string, code: MissingCode = "LAP_CHECKPOINT_MISSING"): Promise<LapidaryError> {
  try {
    if (!(await stat(path)).isDirectory()) return await fileInsteadOfDirectory(path);
    await readdir(path);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code;
    return reason === "ENOENT" || reason === "ENOTDIR" ? missingDirectory(path, code) : unreadable(path, cause);
  }
  const listing = await listEntries(path);
  const findings = await survey(listing);
  const [first] = findings;
  if (first !== undefined)
    return new LapidaryError({
      code: "LAP_CHECKPOINT_FORM",
      message: `the directory has ${lacks}; it has ${findings.map(({ what }) => what).join(", and ")}`,
      location: path,
      remedy: withDirectory(first.remedy, path),
    });
  const { files, folders } = listing;
  const contents =
    files.length + folders.length === 0 ? "it is empty" : `it contains ${firstNames([...folders.map((name) => `${name}/`), ...files])}`;
  return new LapidaryError({
    code,
    message: `the directory has ${lacks}; ${contents}`,
    location: lacks === noConfig ? join(path, "config.json") : path,
    remedy: "give the directory of a Hugging Face checkpoint: config.json, and model.safetensors or its index and shards",
  });
}

const unreadable = (path: string, cause: unknown): LapidaryError =>
  new LapidaryError({
    code: "LAP_FILE_UNREADABLE",
    message: `cannot read the directory (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`,
    location: path,
    remedy: "check its permissions and those of the directories above it",
    cause,
  });

async function missingDirectory(path: string, code: MissingCode): Promise<LapidaryError> {
  const link = await readlink(path).catch(() => undefined);
  const parent = dirname(path);
  const near = suggest(basename(path), await readdir(parent).catch(() => []));
  const siblings = await innerCheckpoints(await listEntries(parent));
  return new LapidaryError({
    code,
    message: link === undefined ? `checkpoint ${path} not found` : `broken link: its target ${link} does not exist`,
    location: path,
    remedy:
      near === undefined && siblings.length > 0
        ? `the checkpoints in ${parent} are ${firstNames(siblings.map((one) => basename(one)))}`
        : near === undefined
          ? "give the directory of a Hugging Face checkpoint, or of a checkpoint of a run: `lapidary ckpt list` prints those"
          : `did you mean ${join(parent, near)}?`,
  });
}

async function fileInsteadOfDirectory(path: string): Promise<LapidaryError> {
  const kind = await fileKind(path);
  const fields =
    kind === undefined
      ? { message: "expected the directory of a checkpoint, got an unreadable file", remedy: "give the directory of a checkpoint" }
      : "what" in kind
        ? {
            message: `expected the directory of a checkpoint, got a file: ${kind.what}`,
            remedy: withDirectory(kind.remedy, dirname(path)),
          }
        : {
            message: `expected the directory of a checkpoint, got a ${kind.kind === "safetensors" ? "safetensors " : ""}file`,
            remedy: `give the directory of this file and its config.json: ${dirname(path)}`,
          };
  return new LapidaryError({ code: "LAP_CHECKPOINT_FORM", ...fields, location: path });
}

async function listEntries(directory: string): Promise<Listing> {
  const files: string[] = [];
  const folders: string[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    const isFolder =
      entry.isDirectory() ||
      (entry.isSymbolicLink() && (await stat(join(directory, entry.name)).catch(() => undefined))?.isDirectory() === true);
    (isFolder ? folders : files).push(entry.name);
  }
  return { directory, files: files.sort(), folders: folders.sort() };
}

/** The recognized contents, the most specific first. */
async function survey(listing: Listing): Promise<Finding[]> {
  const [formats, inner] = [await otherFormats(listing), await innerCheckpoint(listing)];
  const found = [
    await adapterIn(listing),
    unfinishedDownloads(listing),
    await brokenLinks(listing),
    shardedCheckpoint(listing),
    ...(listing.files.includes("config.json") ? [...formats, inner] : [inner, ...formats]),
  ];
  return found.filter((finding) => finding !== undefined);
}

/** Whether a file belongs to an adapter (PEFT), whose weights are added to those of a base model. */
export const isAdapterFile = (name: string): boolean =>
  name === "adapter_config.json" || /^adapter_model\.(safetensors|bin|npz)$/.test(name);

async function adapterIn({ directory, files }: Listing): Promise<Finding | undefined> {
  const matching = files.filter(isAdapterFile);
  if (matching.length === 0) return undefined;
  const { base, kind } = await adapterConfig(join(directory, "adapter_config.json"));
  const of = base === undefined ? "an unnamed base model" : `the base model ${JSON.stringify(base)}`;
  return {
    what: `${kind} (${firstNames(matching)}) for ${of}`,
    remedy: mergeAdapter,
  };
}

export const mergeAdapter =
  "merge the adapter into its base model, in Python: peft.AutoPeftModelForCausalLM.from_pretrained(DIRECTORY).merge_and_unload().save_pretrained(NEW_DIRECTORY, safe_serialization=True), then give NEW_DIRECTORY";

/** The base model and the kind of an adapter, if its configuration contains them. */
async function adapterConfig(path: string): Promise<{ readonly base: string | undefined; readonly kind: string }> {
  let json: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof value === "object" && value !== null) json = value as Record<string, unknown>;
  } catch {
    // Without a readable configuration, the message omits base model and kind.
  }
  const { base_model_name_or_path: base, peft_type: type } = json;
  return {
    base: typeof base === "string" ? base : undefined,
    kind: typeof type === "string" ? `an adapter of kind ${type}` : "an adapter",
  };
}

const isUnfinished = (name: string): boolean => /\.(incomplete|part|partial|aria2|crdownload|download)$/.test(name);

function unfinishedDownloads({ files }: Listing): Finding | undefined {
  const matching = files.filter(isUnfinished);
  return matching.length === 0
    ? undefined
    : { what: `unfinished downloads (${firstNames(matching)})`, remedy: "finish the download, then give this directory again" };
}

async function brokenLinks({ directory, files }: Listing): Promise<Finding | undefined> {
  for (const name of files) {
    const path = join(directory, name);
    if (!(await lstat(path)).isSymbolicLink() || (await stat(path).catch(() => undefined)) !== undefined) continue;
    return {
      what: `a link ${name} to ${await readlink(path)}, which does not exist`,
      remedy: "fetch the target of the link (`git annex get`, or `hf download` again), or copy the checkpoint with `cp -rL`",
    };
  }
  return undefined;
}

/** `model-00001-of-00002.safetensors` */
export const isShard = (name: string): boolean => /^model-\d+-of-\d+\.safetensors$/.test(name);

function shardedCheckpoint({ files }: Listing): Finding | undefined {
  const shards = files.filter(isShard);
  if (shards.length === 0 || files.includes("model.safetensors.index.json")) return undefined;
  return {
    what: `shards (${firstNames(shards)}) without their index`,
    remedy: "fetch model.safetensors.index.json, which names the file of every tensor, into the same directory",
  };
}

/** Files of a trainer that contain no weights. */
const trainerFiles = /^(optimizer\.(safetensors|pt|bin)|scheduler\.(pt|bin)|rng_state.*|scaler\.pt|training_args\.bin|tokenizer\.bin)$/;

/** Whether a file contains weights, by its name. */
export const isWeightFile = (name: string): boolean =>
  !trainerFiles.test(name) &&
  (/\.(safetensors|pt|pth|ckpt|h5|keras|msgpack|gguf|npz)$|^(pytorch_)?model\b.*\.bin$/i.test(name) || isAdapterFile(name));

interface Format {
  readonly matches: RegExp;
  readonly what: string;
  readonly remedy: string;
}

const arrays = "write the arrays with safetensors.numpy.save_file, under the names of the Hugging Face checkpoint, next to a config.json";

const fileFormats: readonly Format[] = [
  {
    matches: /^(zero_to_fp32\.py|mp_rank_\d+_model_states\.pt)$/,
    what: "a checkpoint of DeepSpeed",
    remedy: "run `python zero_to_fp32.py . NEW_DIRECTORY --safe_serialization` in it, copy config.json there, and give NEW_DIRECTORY",
  },
  {
    matches: /\.distcp$/,
    what: "a distributed checkpoint of PyTorch (FSDP)",
    remedy: `run \`python -m torch.distributed.checkpoint.format_utils dcp_to_torch DIRECTORY weights.pt\`, load weights.pt into the model, then ${saveAsSafetensors()}`,
  },
  {
    matches: /^consolidated(\.\d+)?\.pth$/,
    what: "weights in the original format of their authors (consolidated)",
    remedy: "fetch the model in Hugging Face format, or convert it with the conversion script of transformers",
  },
  {
    matches: /\.(pt|pth|ckpt)$|^(pytorch_|diffusion_pytorch_)?(model|lora_weights)\b.*\.bin$/,
    what: "pickled weights of PyTorch",
    remedy: saveAsSafetensors(),
  },
  { matches: /\.index\.json$/, what: "an index of shards", remedy: "fetch the shards that the index names" },
  {
    matches: /\.(h5|keras|hdf5)$/,
    what: "weights of Keras or TensorFlow",
    remedy: saveAsSafetensors("from_pretrained(DIRECTORY, from_tf=True)"),
  },
  { matches: /\.msgpack$/, what: "weights of Flax", remedy: saveAsSafetensors("from_pretrained(DIRECTORY, from_flax=True)") },
  {
    matches: /\.gguf$/i,
    what: "weights of llama.cpp (GGUF)",
    remedy: `use the original checkpoint; or ${saveAsSafetensors('from_pretrained(DIRECTORY, gguf_file="FILE.gguf")')}`,
  },
  { matches: /\.(npz|npy)$/, what: "NumPy arrays", remedy: arrays },
  { matches: /\.onnx$/, what: "an ONNX graph", remedy: "use the checkpoint that it was exported from" },
  {
    matches: /^(_CHECKPOINT_METADATA|_METADATA|_sharding|manifest\.ocdbt|\.zarray|zarr\.json|checkpoint)$/,
    what: "a checkpoint of Orbax, Zarr or Flax",
    remedy: `restore it with the program that wrote it, and ${arrays}; of Orbax, Lapidary reads what its own run.py wrote (config.json and orbax/)`,
  },
  {
    matches: /\.safetensors$/,
    what: "safetensors files with other names",
    remedy: "rename the weight file to model.safetensors, or fetch the index of its shards, and put config.json next to it",
  },
];

async function otherFormats({ directory, files }: Listing): Promise<Finding[]> {
  const matching = files.filter(
    (name) => !isAdapterFile(name) && !isShard(name) && !isUnfinished(name) && name !== "model.safetensors" && !trainerFiles.test(name),
  );
  const findings: Finding[] = [];
  const rest = new Set(matching);
  for (const { matches, what, remedy } of fileFormats) {
    const names = [...rest].filter((name) => matches.test(name));
    const [first] = names;
    if (first === undefined) continue;
    for (const name of names) rest.delete(name);
    const kind = await fileKind(join(directory, first));
    const isPointer = kind !== undefined && kind.kind === "lfs-pointer";
    findings.push({
      what: `${what} (${firstNames(names)})${isPointer ? `, where ${first} is ${kind.what}` : ""}`,
      remedy: isPointer ? `${kind.remedy}; then ${remedy}` : remedy,
    });
  }
  return findings;
}

/** Subfolders that are checkpoints: of a trainer (`checkpoint-500`), of a run (`step-20`), of the cache of the Hub (`snapshots/…`). */
async function innerCheckpoint(listing: Listing): Promise<Finding | undefined> {
  const inner = await innerCheckpoints(listing);
  const [newest] = inner;
  if (newest === undefined) return undefined;
  const names = inner.map((path) => path.slice(resolve(listing.directory).length + 1));
  return { what: `a checkpoint in each of the folders ${firstNames(names)}`, remedy: `give one of them: ${newest}` };
}

/** Paths of the subfolders that have a config.json, newest first. */
async function innerCheckpoints({ directory, folders }: Listing): Promise<string[]> {
  const inner: { readonly path: string; readonly number: number; readonly time: number }[] = [];
  const consider = async (path: string): Promise<void> => {
    if ((await stat(join(path, "config.json")).catch(() => undefined)) === undefined) return;
    inner.push({ path, number: Number(/(\d+)$/.exec(basename(path))?.[1] ?? -1), time: (await stat(path)).mtimeMs });
  };
  for (const name of folders.slice(0, 1000)) {
    const path = join(directory, name);
    await consider(path);
    if (/^(snapshots|checkpoints)$/.test(name))
      for (const deeper of (await listEntries(path)).folders.slice(0, 1000)) await consider(join(path, deeper));
  }
  return inner.sort((a, b) => b.number - a.number || b.time - a.time).map(({ path }) => path);
}

function firstNames(names: readonly string[]): string {
  const rest = names.length - maxNamesShown;
  return `${names.slice(0, maxNamesShown).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}
