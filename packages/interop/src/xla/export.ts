import { copyFile, mkdir, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Program } from "@lapidary/compiler";
import { parametersOf } from "@lapidary/ir";
import { LapidaryError, ensure } from "@lapidary/std";
import type { ArrayData } from "../array-data.js";
import { writeDirectoryAtomic } from "../atomic-directory.js";
import { copyContent, writeFileAtomic } from "../atomic-file.js";
import { writeSafetensors } from "../safetensors.js";
import { globalModule, perDeviceModule } from "../stablehlo/module.js";
import { shardingConstraints } from "../stablehlo/sharding-constraints.js";
import type { WriterOptions } from "../stablehlo/writer.js";
import { hfJsonText } from "../hf-config.js";
import { drawNormal, type XlaInitSpec } from "./initial-state.js";
import { jobSet, type LaunchTarget, slurmScript } from "./launch-files.js";
import { type InitialState, type ManifestData, type ManifestFields, makeManifest, textFiles, type XlaManifest } from "./manifest.js";

/** The version of JAX that `run.py` supports. Compiling StableHLO text needs parts of jaxlib that change between versions. */
export const jaxVersion = "0.10.2";
/** Orbax is optional: `run.py` uses it if it is installed. */
export const orbaxVersion = "0.12.8";

/** The initial value of a state. */
export type XlaState =
  | XlaInitSpec
  /** An array in memory. */
  | { readonly kind: "array"; readonly array: ArrayData }
  /** A tensor of a safetensors file, which is copied into the export. */
  | { readonly kind: "copy"; readonly path: string; readonly tensor: string };

export interface XlaExport {
  readonly program: Program;
  readonly name: string;
  readonly numerics: "f32" | "mxu";
  readonly dcnAxes: readonly string[];
  readonly steps: number;
  /** The initial value of every state, by name. */
  readonly states: ReadonlyMap<string, XlaState>;
  /** By state that is a stack: the states that a checkpoint has for its slices, in order. */
  readonly parts?: ReadonlyMap<string, readonly string[]>;
  /** How states of Lapidary's random generator are exported: as `values` in files, or as an `init-spec` from which `run.py` draws them. */
  readonly initialState: "values" | "init-spec";
  readonly data: XlaData;
  /** config.json of the model. */
  readonly model: Readonly<Record<string, unknown>>;
  /** Additional files of the model by name, such as those of a tokenizer. */
  readonly modelFiles: ReadonlyMap<string, string | Uint8Array>;
  readonly launch: LaunchTarget;
  /** Files for `run.py --compile`, by path in the export. */
  readonly compileFiles: ReadonlyMap<string, string>;
}

/** A token file to copy, batches in memory ([steps, batch, seq] by argument name), or nothing. */
type XlaData =
  | (Omit<Extract<ManifestData, { kind: "tokens" }>, "file"> & { readonly path: string })
  | { readonly kind: "batches"; readonly steps: number; readonly arrays: ReadonlyMap<string, ArrayData> }
  | { readonly kind: "none" };

export interface WrittenExport {
  readonly manifest: XlaManifest;
  /** Size of both modules. */
  readonly textBytes: number;
  readonly files: readonly string[];
}

const assets = fileURLToPath(new URL("../../assets/xla/", import.meta.url));
const runner = [
  "run.py",
  ...[
    "__init__",
    "failures",
    "environment",
    "manifest",
    "layout",
    "engine",
    "safetensors_file",
    "numbers",
    "state",
    "data",
    "checkpoint",
    "groups",
    "sockets",
    "training",
    "mesh",
    "hlo_text",
    "tpu_program",
    "tpu_compiler",
    "tpu_report",
    "tpu_command",
  ].map((name) => `lapidary_xla/${name}.py`),
];
const files = { manifest: "manifest.json", state: "state.safetensors", tokens: "tokens.bin", batches: "batches.safetensors" } as const;

/**
 * Writes a self-contained directory that runs with Python and JAX alone:
 *
 *     whole.mlir chip.mlir      the step: its global module and its per-device module (before and after Lapidary's partitioner)
 *     manifest.json             arguments, results, shardings, sources of initial values
 *     state.safetensors         initial values, unless exported as init-spec · tokens.bin or batches.safetensors
 *     run.py lapidary_xla/      the runner · jobset.yaml job.sbatch  to launch it · model/  files for checkpoints
 *
 * The write is atomic: it leaves a complete export or none, and replaces an earlier export completely.
 *
 * @throws LapidaryError LAP_EXPORT_OP for an op that StableHLO lacks
 */
export async function writeXlaExport(directory: string, job: XlaExport, options: WriterOptions = {}): Promise<WrittenExport> {
  const { program } = job;
  const modules = { numerics: job.numerics, ...options };
  // Print before writing: an op without a StableHLO form must not leave an incomplete directory.
  const whole = globalModule(program.global, shardingConstraints(program.propagated), modules);
  const chip = perDeviceModule(program.chip, program.global, modules);

  await checkExportDirectory(directory);
  return writeDirectoryAtomic(directory, (staging) => writeFiles(staging, job, whole, chip), {
    replaces: Object.values(files),
    seal: files.manifest,
  });
}

async function writeFiles(directory: string, job: XlaExport, whole: string, chip: string): Promise<WrittenExport> {
  const { program } = job;
  await mkdir(join(directory, "lapidary_xla"));
  const written: string[] = [];
  const write = async (name: string, content: string | Uint8Array): Promise<void> => {
    await writeFileAtomic(join(directory, name), [typeof content === "string" ? Buffer.from(content, "utf8") : content]);
    written.push(name);
  };
  await write(textFiles.whole, whole);
  await write(textFiles.chip, chip);
  const initial = await writeStates(directory, job, written);
  const data = await writeData(directory, job.data, written);
  for (const name of runner) {
    await copyFile(join(assets, name), join(directory, name));
    written.push(name);
  }
  for (const [name, text] of job.compileFiles) if (!written.includes(name)) await write(name, text);
  for (const [name, text] of job.modelFiles) await write(`model/${name}`, text);
  await write("jobset.yaml", jobSet(job.launch));
  await write("job.sbatch", slurmScript(job.launch));
  await write("requirements.txt", `jax==${jaxVersion}\njaxlib==${jaxVersion}\norbax-checkpoint==${orbaxVersion}\n`);
  const fields: ManifestFields = {
    ...job,
    jax: jaxVersion,
    data,
    extraFiles: [...job.modelFiles.keys()].map((name) => `model/${name}`),
    initial,
  };
  const manifest = makeManifest(program, fields);
  await write(files.manifest, hfJsonText(manifest, 1));
  return { manifest, textBytes: whole.length + chip.length, files: written };
}

/**
 * Checks that the directory is new, or contains an earlier export.
 *
 * @throws LAP_EXPORT_OUTPUT
 */
export async function checkExportDirectory(directory: string): Promise<void> {
  const found = await readdir(directory).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return [] as string[];
    if (code === "ENOTDIR") throw outputError(directory, "a file has this name, or the name of a parent directory", cause);
    throw cause;
  });
  if (found.length > 0 && !found.includes(files.manifest)) throw outputError(directory, "it contains other files and is not an export");
}

const outputError = (location: string, message: string, cause?: unknown): LapidaryError =>
  new LapidaryError({
    code: "LAP_EXPORT_OUTPUT",
    message: `cannot write the directory: ${message}`,
    location,
    cause,
  });

async function writeStates(
  directory: string,
  { program, states, initialState: initialState }: XlaExport,
  written: string[],
): Promise<Map<string, InitialState>> {
  const types = new Map(parametersOf(program.global).map(({ attrs, type }) => [attrs.name, type]));
  const initial = new Map<string, InitialState>();
  const arrays = new Map<string, ArrayData>();
  const copies = new Map<string, string>();
  for (const [name, state] of states) {
    if (state.kind === "copy") {
      const file = copies.get(state.path) ?? `init/${copies.size}-${basename(state.path)}`;
      copies.set(state.path, file);
      initial.set(name, { kind: "file", file, tensor: state.tensor });
    } else if (state.kind === "array" || (state.kind === "normal" && initialState === "values")) {
      arrays.set(name, state.kind === "array" ? state.array : drawNormal(ensure(types.get(name), name).dims, state));
      initial.set(name, { kind: "file", file: files.state, tensor: name });
    } else initial.set(name, state);
  }
  if (arrays.size > 0) {
    await writeSafetensors(join(directory, files.state), arrays);
    written.push(files.state);
  }
  if (copies.size > 0) await mkdir(join(directory, "init"), { recursive: true });
  for (const [from, to] of copies) {
    await copyContent(from, join(directory, to));
    written.push(to);
  }
  return initial;
}

async function writeData(directory: string, data: XlaData, written: string[]): Promise<ManifestData> {
  switch (data.kind) {
    case "tokens": {
      const { path, ...rest } = data;
      await copyContent(path, join(directory, files.tokens));
      written.push(files.tokens);
      return { ...rest, file: files.tokens };
    }
    case "batches":
      await writeSafetensors(join(directory, files.batches), data.arrays);
      written.push(files.batches);
      return { kind: "batches", file: files.batches, steps: data.steps };
    case "none":
      return data;
  }
}
