import { access } from "node:fs/promises";
import { join } from "node:path";
import { sameDims } from "@lapidary/ir";
import { type ModelConfig, type ParamSpec, paramsOf } from "@lapidary/models";
import { LapidaryError, must, suggest } from "@lapidary/std";
import { z } from "zod";
import type { ArrayData } from "./array-data.js";
import { writeFileAtomic } from "./atomic-file.js";
import { type ControlIds, modelConfigToHf, readHfConfig, readJson } from "./hf-config.js";
import { SafetensorsFile, writeSafetensors } from "./safetensors.js";
import { ZarrFolder } from "./zarr.js";

/** A file, or a folder, that holds tensors by name. */
type TensorFile = Pick<SafetensorsFile, "path" | "names" | "dimsOf" | "read" | "close">;

/**
 * A checkpoint directory as transformers reads and writes it:
 *
 *     config.json
 *     model.safetensors                      or   model.safetensors.index.json + model-00001-of-00002.safetensors …
 *
 * or as `run.py` of an export writes it by Orbax: config.json and orbax/params/<name>/
 */
export class HfCheckpoint {
  private constructor(
    readonly directory: string,
    readonly config: ModelConfig,
    readonly params: readonly ParamSpec[],
    private readonly files: readonly TensorFile[],
    private readonly fileOf: ReadonlyMap<string, TensorFile>,
  ) {}

  /** Opens all files and checks that they hold the parameters of the model that config.json describes, and no other. */
  static async open(directory: string): Promise<HfCheckpoint> {
    const config = await readHfConfig(join(directory, "config.json"));
    const params = paramsOf(config);
    const files: TensorFile[] = [];
    try {
      const fileOf = await openFiles(directory, files);
      checkTensors(directory, params, fileOf);
      return new HfCheckpoint(directory, config, params, files, fileOf);
    } catch (error) {
      await Promise.all(files.map((file) => file.close()));
      throw error;
    }
  }

  /** One parameter, as f32. */
  async read(name: string): Promise<ArrayData> {
    const file = must(this.fileOf.get(name), `tensor ${name}`);
    const array = await file.read(name);
    if (array.dtype !== "f32") throw tensorError(file.path, name, "it holds integers, not weights");
    return array;
  }

  /** The safetensors file that holds a parameter; undefined where Orbax keeps it. */
  pathOf(name: string): string | undefined {
    const file = must(this.fileOf.get(name), `tensor ${name}`);
    return file instanceof SafetensorsFile ? file.path : undefined;
  }

  async close(): Promise<void> {
    await Promise.all(this.files.map((file) => file.close()));
  }
}

/** All parameters of a checkpoint, as f32, by name. */
export async function readHfCheckpoint(directory: string): Promise<{ config: ModelConfig; tensors: Map<string, ArrayData> }> {
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    const tensors = new Map<string, ArrayData>();
    for (const { name } of checkpoint.params) tensors.set(name, await checkpoint.read(name));
    return { config: checkpoint.config, tensors };
  } finally {
    await checkpoint.close();
  }
}

/**
 * Writes a directory that, for a Gemma, `GemmaForCausalLM.from_pretrained` loads. Each file is replaced atomically, the weights before config.json.
 *
 * @param tensors all parameters of the model, by Hugging Face name
 * @param extra further files by name, such as a tokenizer's
 * @param control ids of control tokens for config.json; those of our own tokenizers by default
 */
export async function writeHfCheckpoint(
  directory: string,
  config: ModelConfig,
  tensors: ReadonlyMap<string, ArrayData>,
  extra: ReadonlyMap<string, string | Uint8Array> = new Map(),
  control?: ControlIds,
): Promise<void> {
  const ordered = paramsOf(config).map(({ name, dims }) => {
    const array = must(tensors.get(name), `tensor ${name}`);
    if (!sameDims(array.dims, dims))
      throw tensorError(directory, name, `it is [${array.dims.join(", ")}], the model needs [${dims.join(", ")}]`);
    return [name, array] as const;
  });
  await writeSafetensors(join(directory, "model.safetensors"), new Map(ordered), { format: "pt" });
  for (const [name, text] of extra)
    await writeFileAtomic(join(directory, name), [typeof text === "string" ? Buffer.from(text, "utf8") : text]);
  await writeFileAtomic(join(directory, "config.json"), [
    Buffer.from(`${JSON.stringify(modelConfigToHf(config, control), null, 2)}\n`, "utf8"),
  ]);
}

async function openFiles(directory: string, files: TensorFile[]): Promise<ReadonlyMap<string, TensorFile>> {
  const [single, orbax] = [join(directory, "model.safetensors"), join(directory, "orbax/params")];
  if (await exists(single)) return openSingle(await SafetensorsFile.open(single), files);
  return (await exists(orbax)) ? openSingle(await ZarrFolder.open(orbax), files) : openSharded(directory, files);
}

function openSingle(file: TensorFile, files: TensorFile[]): Map<string, TensorFile> {
  files.push(file);
  return new Map(file.names.map((name) => [name, file]));
}

/** File names in an index are names, never paths. */
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$/)) });

async function openSharded(directory: string, files: TensorFile[]): Promise<Map<string, TensorFile>> {
  const path = join(directory, "model.safetensors.index.json");
  if (!(await exists(path)))
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_MISSING",
      message: "the directory has neither model.safetensors nor model.safetensors.index.json",
      place: directory,
      remedy: "name the directory of a Hugging Face checkpoint",
      exit: 2,
    });
  const index = indexSchema.safeParse(await readJson(path));
  if (!index.success)
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_INDEX",
      message: "the index has no weight_map from tensor names to .safetensors files beside it",
      place: path,
      remedy: "fetch or write the checkpoint again",
      exit: 2,
    });
  const byName = new Map<string, SafetensorsFile>();
  for (const name of new Set(Object.values(index.data.weight_map))) {
    const file = await SafetensorsFile.open(join(directory, name));
    files.push(file);
    byName.set(name, file);
  }
  return new Map(
    Object.entries(index.data.weight_map).map(([tensor, name]) => {
      const file = must(byName.get(name), name);
      if (!file.header.tensors.has(tensor))
        throw tensorError(file.path, tensor, "the index places it in this file, which does not have it");
      return [tensor, file];
    }),
  );
}

/** Tensors that older exports wrote beside the parameters and that say nothing new. */
const redundant = (name: string): boolean => name === "lm_head.weight" || name.endsWith(".rotary_emb.inv_freq");

function checkTensors(directory: string, params: readonly ParamSpec[], fileOf: ReadonlyMap<string, TensorFile>): void {
  for (const { name, dims } of params) {
    const file = fileOf.get(name);
    if (file === undefined) throw tensorError(directory, name, "the checkpoint lacks it");
    const found = must(file.dimsOf(name), name);
    if (!sameDims(found, dims))
      throw tensorError(file.path, name, `it is [${found.join(", ")}], config.json asks for [${dims.join(", ")}]`);
  }
  const known = new Set(params.map(({ name }) => name));
  for (const [name, file] of fileOf)
    if (!known.has(name) && !redundant(name)) {
      const near = suggest(name, known);
      throw tensorError(file.path, name, `the model has no such parameter${near === undefined ? "" : ` (near: ${near})`}`);
    }
}

const tensorError = (file: string, tensor: string, problem: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_CHECKPOINT_TENSOR",
    message: problem,
    place: `${file}: tensor "${tensor}"`,
    remedy: "check that config.json and the weights belong together",
    exit: 2,
  });

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
