import { copyFile, mkdir, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Program } from "@lapidary/compiler";
import { parametersOf } from "@lapidary/ir";
import { LapidaryError, must } from "@lapidary/std";
import type { ArrayData } from "../array-data.js";
import { writeDirectoryAtomic } from "../atomic-directory.js";
import { copyContent, writeFileAtomic } from "../atomic-file.js";
import { writeSafetensors } from "../safetensors.js";
import { chipModule, statedShardings, type WriterOptions, wholeModule } from "../stablehlo/index.js";
import { drawNormal, type XlaRecipe } from "./initial-state.js";
import { jobSet, type LaunchTarget, slurmScript } from "./launch-files.js";
import { type InitialState, type ManifestData, type ManifestFields, makeManifest, textFiles, type XlaManifest } from "./manifest.js";

/** What `run.py` is written for and tested with: XLA from text needs parts of jaxlib that change from version to version. */
export const jaxVersion = "0.10.2";
/** Used where it is installed. */
export const orbaxVersion = "0.12.8";

/** Where a state of the job begins. */
export type XlaState =
  | XlaRecipe
  /** An array that is at hand. */
  | { readonly kind: "array"; readonly array: ArrayData }
  /** A tensor of a safetensors file, which is copied into the export. */
  | { readonly kind: "copy"; readonly path: string; readonly tensor: string };

export interface XlaExport {
  readonly program: Program;
  readonly name: string;
  readonly numerics: "f32" | "mxu";
  readonly dcnAxes: readonly string[];
  readonly steps: number;
  /** By name, of every state. */
  readonly states: ReadonlyMap<string, XlaState>;
  /** Whether numbers of Lapidary's generator are written down, or left to `run.py` to draw. */
  readonly drawn: "files" | "recipe";
  readonly data: XlaData;
  /** config.json of the model. */
  readonly model: Readonly<Record<string, unknown>>;
  /** Further files of the model by name, such as a tokenizer's. */
  readonly modelFiles: ReadonlyMap<string, string | Uint8Array>;
  readonly launch: LaunchTarget;
}

/** A token file to copy, batches that are at hand ([steps, batch, seq] by argument name), or nothing. */
export type XlaData =
  | (Omit<Extract<ManifestData, { kind: "tokens" }>, "file"> & { readonly path: string })
  | { readonly kind: "batches"; readonly steps: number; readonly arrays: ReadonlyMap<string, ArrayData> }
  | { readonly kind: "none" };

export interface WrittenExport {
  readonly manifest: XlaManifest;
  /** Of both texts. */
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
  ].map((name) => `lapidary_xla/${name}.py`),
];
const files = { manifest: "manifest.json", state: "state.safetensors", tokens: "tokens.bin", batches: "batches.safetensors" } as const;

/**
 * Writes a directory that runs by itself, wherever Python and JAX are:
 *
 *     whole.mlir chip.mlir      the step, before and after our partitioner
 *     manifest.json             arguments, results, shardings, where first values come from
 *     state.safetensors         initial params, where they are written down · tokens.bin or batches.safetensors
 *     run.py lapidary_xla/      the runner · jobset.yaml job.sbatch  to launch it · model/  files for checkpoints
 *
 * The directory appears whole or not at all, and an earlier export is replaced as a whole.
 *
 * @throws LapidaryError LAP_EXPORT_OP for an op that StableHLO lacks
 */
export async function writeXlaExport(directory: string, job: XlaExport, options: WriterOptions = {}): Promise<WrittenExport> {
  const { program } = job;
  const modules = { numerics: job.numerics, ...options };
  // Printed before anything is written: an op that has no text leaves no directory behind.
  const whole = wholeModule(program.global, statedShardings(program.propagated), modules);
  const chip = chipModule(program.chip, program.global, modules);

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
  await write(files.manifest, `${JSON.stringify(manifest, null, 1)}\n`);
  return { manifest, textBytes: whole.length + chip.length, files: written };
}

/**
 * A new directory, or one that an earlier export wrote.
 *
 * @throws LAP_EXPORT_OUTPUT
 */
export async function checkExportDirectory(directory: string): Promise<void> {
  const found = await readdir(directory).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return [] as string[];
    if (code === "ENOTDIR") throw outputError(directory, "a file is in its place, or in its path", cause);
    throw cause;
  });
  if (found.length > 0 && !found.includes(files.manifest)) throw outputError(directory, "it holds other files, and no export");
}

const outputError = (place: string, message: string, cause?: unknown): LapidaryError =>
  new LapidaryError({
    code: "LAP_EXPORT_OUTPUT",
    message: `the directory cannot be written: ${message}`,
    place,
    cause,
  });

async function writeStates(
  directory: string,
  { program, states, drawn }: XlaExport,
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
    } else if (state.kind === "array" || (state.kind === "normal" && drawn === "files")) {
      arrays.set(name, state.kind === "array" ? state.array : drawNormal(must(types.get(name), name).dims, state));
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
