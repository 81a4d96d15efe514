import { sameDims } from "@lapidary/ir";
import { type ModelConfig, type ParamSpec, paramsOf } from "@lapidary/models";
import { assert, must, type Warning } from "@lapidary/std";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ArrayData } from "./array-data.js";
import { writeFileAtomic } from "./atomic-file.js";
import { isWeightFile, noConfig, notACheckpoint } from "./checkpoint-survey.js";
import { isFile, openWeights } from "./weight-files.js";
import { type ControlIds, modelConfigToHf, readHfConfigWithWarnings } from "./hf-config.js";
import { checkFinite } from "./finite.js";
import { placeTensors, type PlacedTensors } from "./place-tensors.js";
import { SafetensorsFile, writeSafetensors } from "./safetensors.js";
import { tensorError } from "./tensor-errors.js";
import type { StoredTensor, TensorFile } from "./tensor-file.js";

/**
 * How much is read to check a checkpoint before it is used: headers alone and the beginning of what should be redundant, some milliseconds;
 * or all numbers of what should be redundant as well.
 */
export type CheckDepth = "headers" | "contents";

/** Of a tensor that should be redundant, so many elements are compared when only headers are checked: what was trained differs at once. */
const headElements = 1 << 16;

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
    /** What was found and did not stop the reading: other names, keys that are not known. */
    readonly warnings: readonly Warning[],
    private readonly files: readonly TensorFile[],
    private readonly placed: PlacedTensors,
  ) {}

  /**
   * Opens all files and checks that every parameter of the model that config.json describes is there, and that every other tensor is redundant.
   *
   * @throws LAP_CHECKPOINT_FORM for what is not such a directory; LAP_CHECKPOINT_…, LAP_SAFETENSORS_…, LAP_FILE_… naming file and tensor
   */
  static async open(directory: string, depth: CheckDepth = "contents"): Promise<HfCheckpoint> {
    const configPath = join(directory, "config.json");
    if (!(await isFile(configPath))) throw await notACheckpoint(directory, noConfig);
    const { config, warnings } = await readHfConfigWithWarnings(configPath);
    const params = paramsOf(config);
    const files: TensorFile[] = [];
    try {
      const found = await openWeights(directory, files);
      const placed = placeTensors(directory, config, params, found);
      for (const tensor of placed.redundant) await tensor.check(depth === "headers" ? headElements : undefined);
      return new HfCheckpoint(directory, config, params, [...warnings, ...placed.warnings], files, placed);
    } catch (error) {
      await Promise.all(files.map((file) => file.close()));
      throw error;
    }
  }

  /**
   * One parameter, as f32.
   *
   * @throws LAP_CHECKPOINT_NOT_FINITE naming the element when a number is NaN or infinite
   */
  async read(name: string): Promise<ArrayData> {
    const array = await this.readAsStored(name);
    const { file, name: stored } = this.#tensor(name);
    checkFinite(array, file.path, stored, file.dtypeOf(stored));
    return array;
  }

  /** The same with whatever numbers it has: to go on with a run exactly as it was. */
  async readAsStored(name: string): Promise<ArrayData> {
    const { file, name: stored } = this.#tensor(name);
    const array = await file.read(stored);
    if (array.dtype !== "f32") throw tensorError(file.path, stored, "it holds integers, not weights");
    return array;
  }

  /** The safetensors file that holds a parameter, and its name there; undefined where Orbax keeps it. */
  sourceOf(name: string): { readonly path: string; readonly tensor: string } | undefined {
    const { file, name: stored } = this.#tensor(name);
    return file instanceof SafetensorsFile ? { path: file.path, tensor: stored } : undefined;
  }

  /** Names in the files of what repeats parameters, and was compared with them. */
  get redundant(): readonly string[] {
    return this.placed.redundant.map(({ name }) => name);
  }

  /** Files of the directory that look like weights in another format, and are not a part of what is read. */
  async notRead(): Promise<readonly string[]> {
    const read = new Set(this.files.map(({ path }) => basename(path)));
    return (await readdir(this.directory)).filter((name) => isWeightFile(name) && !read.has(name)).sort();
  }

  #tensor(name: string): StoredTensor {
    return must(this.placed.used.get(name), `tensor ${name}`);
  }

  async close(): Promise<void> {
    await Promise.all(this.files.map((file) => file.close()));
  }
}

/** All parameters of a checkpoint, as f32, by name. */
export async function readHfCheckpoint(
  directory: string,
): Promise<{ config: ModelConfig; tensors: Map<string, ArrayData>; warnings: readonly Warning[] }> {
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    const tensors = new Map<string, ArrayData>();
    for (const { name } of checkpoint.params) tensors.set(name, await checkpoint.read(name));
    return { config: checkpoint.config, tensors, warnings: checkpoint.warnings };
  } finally {
    await checkpoint.close();
  }
}

/**
 * Reads a directory back that `writeHfCheckpoint` wrote, and compares every number.
 *
 * @throws LAP_CHECKPOINT_… whatever else the directory holds that makes it another checkpoint; LAP_CHECKPOINT_TENSOR for a number that differs
 */
export async function readBackHfCheckpoint(directory: string, tensors: ReadonlyMap<string, ArrayData>): Promise<void> {
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    for (const { name } of checkpoint.params) {
      const [written, { data }] = [must(tensors.get(name), name).data, await checkpoint.readAsStored(name)];
      const at = data.findIndex((value, i) => !Object.is(value, written[i]));
      if (at < 0) continue;
      const remedy = "export it again; if that happens again, check the disk";
      throw tensorError(directory, name, `element ${at} is ${data[at]} on the disk, and ${written[at]} was written`, remedy);
    }
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
  const params = paramsOf(config);
  assert(params.length === tensors.size, "every tensor is a parameter", [...tensors.keys()]);
  const ordered = params.map(({ name, dims }) => {
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
