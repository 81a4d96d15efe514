import { sameDims } from "@lapidary/ir";
import { type ModelConfig, type ParamSpec, paramsOf, storedTensors } from "@lapidary/models";
import { assert, ensure, type Warning } from "@lapidary/std";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { LoraAdapter } from "./adapter.js";
import type { ArrayData } from "./array-data.js";
import { writeFileAtomic } from "./atomic-file.js";
import { isAdapterFile, isWeightFile, noConfig, notACheckpoint } from "./checkpoint-survey.js";
import { isFile, openWeights } from "./weight-files.js";
import { type ControlIds, hfJsonText, modelConfigToHf, readHfConfigWithWarnings } from "./hf-config.js";
import { checkFinite } from "./finite.js";
import { matchTensors, type MatchedTensors } from "./match-tensors.js";
import { partsOfArray, stackArrays } from "./stacks.js";
import { SafetensorsFile, writeSafetensors } from "./safetensors.js";
import { tensorError } from "./tensor-errors.js";
import type { StoredTensor, TensorFile } from "./tensor-file.js";

/**
 * How much of a checkpoint is read to check it before use. `headers` reads the headers and the start of redundant tensors, in some milliseconds;
 * `contents` also reads the rest of the redundant tensors.
 */
export type CheckDepth = "headers" | "contents";

/** Elements of a redundant tensor that are compared at depth `headers`: a tensor with trained weights of its own differs early. */
const headElements = 1 << 16;

/**
 * A checkpoint directory as transformers reads and writes it:
 *
 *     config.json
 *     model.safetensors                      or   model.safetensors.index.json + model-00001-of-00002.safetensors …
 *
 * or as `run.py` of an export writes it by Orbax: config.json and orbax/params/<name>/
 *
 * or an adapter of PEFT whose base model is such a directory: adapter_config.json and adapter_model.safetensors. Its weights are read merged.
 */
export class HfCheckpoint {
  readonly directory: string;
  readonly config: ModelConfig;
  readonly params: readonly ParamSpec[];
  /** Findings that did not stop the read: other tensor names, unknown keys. */
  readonly warnings: readonly Warning[];
  /** The `config.json` of the model; that of the base model if the directory has an adapter. */
  readonly configFile: string;

  private constructor(
    about: Pick<HfCheckpoint, "directory" | "config" | "params" | "warnings" | "configFile">,
    private readonly files: readonly TensorFile[],
    private readonly matched: MatchedTensors,
    /** Changes of the weights, the first one first. */
    private readonly adapters: readonly LoraAdapter[] = [],
  ) {
    ({ directory: this.directory, config: this.config, params: this.params } = about);
    ({ warnings: this.warnings, configFile: this.configFile } = about);
  }

  /**
   * Opens all files. Checks that every parameter of the model in config.json exists, and that every other tensor is redundant.
   *
   * @throws LAP_CHECKPOINT_FORM if it is not such a directory; LAP_CHECKPOINT_…, LAP_SAFETENSORS_…, LAP_FILE_… with file and tensor
   */
  static open(directory: string, depth: CheckDepth = "contents"): Promise<HfCheckpoint> {
    return HfCheckpoint.#open(directory, depth, []);
  }

  /** @param above directories of the adapters over this checkpoint */
  static async #open(directory: string, depth: CheckDepth, above: readonly string[]): Promise<HfCheckpoint> {
    const configPath = join(directory, "config.json");
    if (!(await isFile(configPath))) return HfCheckpoint.#openMerged(directory, depth, above);
    const { config, warnings } = await readHfConfigWithWarnings(configPath);
    const params = paramsOf(config);
    const files: TensorFile[] = [];
    try {
      const found = await openWeights(directory, files);
      const matched = matchTensors(directory, config, params.flatMap(storedTensors), found);
      for (const tensor of matched.redundant) await tensor.check(depth === "headers" ? headElements : undefined);
      const about = { directory, config, params, warnings: [...warnings, ...matched.warnings], configFile: configPath };
      return new HfCheckpoint(about, files, matched);
    } catch (error) {
      await Promise.all(files.map((file) => file.close()));
      throw error;
    }
  }

  /** An adapter with the checkpoint under it. */
  static async #openMerged(directory: string, depth: CheckDepth, above: readonly string[]): Promise<HfCheckpoint> {
    const adapter = above.includes(directory) ? undefined : await LoraAdapter.open(directory);
    if (adapter === undefined) throw await notACheckpoint(directory, noConfig);
    let base: HfCheckpoint | undefined;
    try {
      base = await HfCheckpoint.#open(adapter.base, depth, [...above, directory]);
      const { config, params, warnings, files, matched, configFile, adapters } = base;
      adapter.check(params.flatMap(storedTensors));
      return new HfCheckpoint({ directory, config, params, warnings, configFile }, files, matched, [...adapters, adapter]);
    } catch (error) {
      await Promise.all([adapter.close(), base?.close()]);
      throw error;
    }
  }

  /**
   * Reads one parameter as f32.
   *
   * @throws LAP_CHECKPOINT_NOT_FINITE with the first element that is NaN or infinite
   */
  read(name: string): Promise<ArrayData> {
    return this.#readParts(name, async (part) => {
      const array = await this.#readTensor(part);
      const { file, name: stored } = this.#tensor(part);
      checkFinite(array, file.path, stored, file.dtypeOf(stored));
      return array;
    });
  }

  /** Reads one parameter as f32 without a check for NaN and infinities, to resume a run exactly. */
  readAsStored(name: string): Promise<ArrayData> {
    return this.#readParts(name, (part) => this.#readTensor(part));
  }

  /** A parameter from the tensors that hold it. */
  async #readParts(name: string, read: (tensor: string) => Promise<ArrayData>): Promise<ArrayData> {
    const spec = ensure(
      this.params.find((param) => param.name === name),
      `parameter ${name}`,
    );
    if (spec.parts === undefined) return read(name);
    return stackArrays(await Promise.all(spec.parts.map(read)));
  }

  async #readTensor(name: string): Promise<ArrayData> {
    const { file, name: stored } = this.#tensor(name);
    const array = await file.read(stored);
    if (array.dtype !== "f32") throw tensorError(file.path, stored, "expected floating-point weights, got integers");
    let merged: ArrayData = array;
    for (const adapter of this.adapters) merged = await adapter.merge(name, merged);
    return merged;
  }

  /** The safetensors file of a parameter, and its name there; undefined for a stack, in Orbax format, or if an adapter changes it. */
  sourceOf(name: string): { readonly path: string; readonly tensor: string } | undefined {
    if (!this.matched.used.has(name)) return undefined;
    const { file, name: stored } = this.#tensor(name);
    return file instanceof SafetensorsFile && !this.adapters.some((adapter) => adapter.changes(name))
      ? { path: file.path, tensor: stored }
      : undefined;
  }

  /** Names in the files of the redundant tensors, which were compared with the parameters that they repeat. */
  get redundant(): readonly string[] {
    return this.matched.redundant.map(({ name }) => name);
  }

  /** The arrays of the directory that a run trains: the parameters, or those of its adapter. */
  get trained(): readonly Pick<ParamSpec, "name" | "dims">[] {
    return this.adapters.at(-1)?.trained(this.params) ?? this.params;
  }

  /** Files of the directory whose names are those of weights, and that are not read. */
  async unreadWeightFiles(): Promise<readonly string[]> {
    const isRead = (name: string): boolean =>
      this.adapters.length > 0 ? isAdapterFile(name) : this.files.some(({ path }) => basename(path) === name);
    return (await readdir(this.directory)).filter((name) => isWeightFile(name) && !isRead(name)).sort();
  }

  #tensor(name: string): StoredTensor {
    return ensure(this.matched.used.get(name), `tensor ${name}`);
  }

  async close(): Promise<void> {
    await Promise.all([...this.files, ...this.adapters].map((file) => file.close()));
  }
}

/** Reads all parameters of a checkpoint as f32, by name. */
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
 * Reads back a directory that `writeHfCheckpoint` wrote, and compares every number.
 *
 * @throws LAP_CHECKPOINT_… if other files in the directory make it another checkpoint; LAP_CHECKPOINT_TENSOR for a number that differs
 */
export async function readBackHfCheckpoint(directory: string, tensors: ReadonlyMap<string, ArrayData>): Promise<void> {
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    for (const { name } of checkpoint.params) {
      const [written, { data }] = [ensure(tensors.get(name), name).data, await checkpoint.readAsStored(name)];
      const at = data.findIndex((value, i) => !Object.is(value, written[i]));
      if (at < 0) continue;
      const remedy = "export it again; if the error repeats, check the disk";
      throw tensorError(directory, name, `element ${at} is ${data[at]} on disk, expected ${written[at]}`, remedy);
    }
  } finally {
    await checkpoint.close();
  }
}

/**
 * Writes a checkpoint directory; `AutoModelForCausalLM.from_pretrained` loads it, unless the family is `decoder`. Each file is replaced atomically, the weights before config.json.
 *
 * @param tensors all parameters of the model, by Hugging Face name
 * @param extra additional files by name, such as those of a tokenizer
 * @param control ids of control tokens for config.json; by default those of Lapidary's own tokenizers
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
  const ordered = params.map(({ name, dims, parts }) => {
    const array = ensure(tensors.get(name), `tensor ${name}`);
    if (!sameDims(array.dims, dims))
      throw tensorError(directory, name, `expected shape [${dims.join(", ")}], got [${array.dims.join(", ")}]`);
    return { name, array, parts };
  });
  await writeSafetensors(join(directory, "model.safetensors"), new Map(ordered.flatMap(partsOfArray)), { format: "pt" });
  for (const [name, text] of extra)
    await writeFileAtomic(join(directory, name), [typeof text === "string" ? Buffer.from(text, "utf8") : text]);
  await writeFileAtomic(join(directory, "config.json"), [Buffer.from(hfJsonText(modelConfigToHf(config, control)), "utf8")]);
}
