import { readdir, readFile, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { forEachIndex, sizeOf, stridesOf } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import { z } from "zod";
import { type ArrayData, f32Array } from "../array-data.js";
import { readSafetensors } from "../safetensors.js";

/** All states of a run after `step` steps, by name: `params/…`, `adam_m/…`, `adam_v/…`, `step`. */
export interface XlaCheckpoint {
  readonly step: number;
  readonly states: ReadonlyMap<string, ArrayData>;
}

const stateSchema = z.object({ step: z.number().int().nonnegative() });

/**
 * Reads a checkpoint of `run.py`, which is one of Lapidary's own as well:
 *
 *     step-100/  train_state.json  and  model.safetensors optimizer.safetensors  or  orbax/params/… orbax/adam_m/…
 *
 * @throws LapidaryError LAP_CHECKPOINT_… that names the file
 */
export async function readXlaCheckpoint(directory: string): Promise<XlaCheckpoint> {
  const path = join(directory, "train_state.json");
  const { step } = stateSchema.parse(await readJson(path));
  const states = (await isDirectory(join(directory, "orbax"))) ? await readOrbax(join(directory, "orbax")) : await readFiles(directory);
  return { step, states: new Map([...states, ["step", f32Array([], [step])]]) };
}

async function readFiles(directory: string): Promise<Map<string, ArrayData>> {
  const weights = await readSafetensors(join(directory, "model.safetensors"));
  const moments = await readSafetensors(join(directory, "optimizer.safetensors"));
  return new Map([...[...weights].map(([name, array]) => [`params/${name}`, array] as const), ...moments]);
}

/** Orbax without OCDBT: a directory for each array, at a path that is its name. */
async function readOrbax(directory: string): Promise<Map<string, ArrayData>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const arrays = entries.filter((entry) => entry.isFile() && entry.name === ".zarray").map((entry) => entry.parentPath ?? entry.path);
  if (arrays.length === 0) throw broken(directory, "there is no Zarr array in it");
  return new Map(await Promise.all(arrays.map(async (path) => [path.slice(directory.length + 1).split(sep).join("/"), await readZarr(path)] as const)));
}

const zarrSchema = z.object({
  zarr_format: z.literal(2),
  shape: z.array(z.number().int().nonnegative()),
  chunks: z.array(z.number().int().positive()),
  dtype: z.literal("<f4"),
  order: z.literal("C"),
  compressor: z.null(),
  filters: z.null(),
  dimension_separator: z.string().default("."),
});

/**
 * An uncompressed Zarr 2 array: one file a chunk, named by the chunk's indices, each as large as the others.
 *
 *     shape [8, 8], chunks [4, 8]      file "0.0"  rows 0–3      file "1.0"  rows 4–7
 */
async function readZarr(directory: string): Promise<ArrayData> {
  const parsed = zarrSchema.safeParse(await readJson(join(directory, ".zarray")));
  if (!parsed.success) throw broken(join(directory, ".zarray"), `it is no uncompressed Zarr 2 array of f32 (${parsed.error.issues[0]?.path.join(".") ?? ""})`);
  const { shape, chunks, dimension_separator: separator } = parsed.data;
  const out = new Float32Array(sizeOf(shape));
  const strides = stridesOf(shape);
  const counts = shape.map((size, d) => Math.ceil(size / (chunks[d] ?? 1)));
  const names: (readonly number[])[] = [];
  forEachIndex(counts, (index) => names.push([...index]));
  for (const chunk of names) {
    const path = join(directory, chunk.length === 0 ? "0" : chunk.join(separator));
    const bytes = await readBytes(path);
    if (bytes.length !== sizeOf(chunks) * 4) throw broken(path, `the chunk has ${bytes.length} bytes, not ${sizeOf(chunks) * 4}`);
    const data = new Float32Array(bytes.buffer);
    forEachIndex(chunks, (index, flat) => {
      const at = index.map((i, d) => (chunk[d] ?? 0) * (chunks[d] ?? 1) + i);
      if (at.every((i, d) => i < (shape[d] ?? 0))) out[at.reduce((sum, i, d) => sum + i * (strides[d] ?? 1), 0)] = data[flat] ?? 0;
    });
  }
  return f32Array(shape, out);
}

async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    // A copy of its own, so that it is aligned.
    return Uint8Array.from(await readFile(path));
  } catch (cause) {
    throw broken(path, `it cannot be read (${cause instanceof Error ? cause.message : String(cause)})`);
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw broken(path, `it cannot be read (${cause instanceof Error ? cause.message : String(cause)})`);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

const broken = (place: string, message: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CHECKPOINT_XLA", message, place, remedy: "name the directory of a whole checkpoint of run.py, such as checkpoints/step-100", exit: 2 });
