import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { z } from "zod";
import { type ArrayData, f32Array } from "../array-data.js";
import { readSafetensors } from "../safetensors.js";
import { ZarrFolder } from "../zarr.js";

/** All states of a run after `step` steps, by name: `params/…`, `adam_m/…`, `adam_v/…`, `step`. */
export interface XlaCheckpoint {
  readonly step: number;
  readonly states: ReadonlyMap<string, ArrayData>;
}

const stateSchema = z.object({ step: z.number().int().nonnegative() });

/**
 * Reads a checkpoint of `run.py`, or of a run of Lapidary, which has the same layout:
 *
 *     step-100/  train_state.json  and  model.safetensors optimizer.safetensors  or  orbax/params/… orbax/adam_m/…
 *
 * @throws LapidaryError LAP_CHECKPOINT_… that names the file
 */
export async function readXlaCheckpoint(directory: string): Promise<XlaCheckpoint> {
  const step = await readStep(join(directory, "train_state.json"));
  const states = (await isDirectory(join(directory, "orbax"))) ? await readOrbax(join(directory, "orbax")) : await readFiles(directory);
  return { step, states: new Map([...states, ["step", f32Array([], [step])]]) };
}

async function readFiles(directory: string): Promise<Map<string, ArrayData>> {
  const weights = await readSafetensors(join(directory, "model.safetensors"));
  const moments = await readSafetensors(join(directory, "optimizer.safetensors"));
  return new Map([...[...weights].map(([name, array]) => [`params/${name}`, array] as const), ...moments]);
}

async function readOrbax(directory: string): Promise<Map<string, ArrayData>> {
  const folder = await ZarrFolder.open(directory);
  return new Map(await Promise.all(folder.names.map(async (name) => [name, await folder.read(name)] as const)));
}

async function readStep(path: string): Promise<number> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(path, "utf8"))).step;
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_STATE",
      message: "cannot read the step of the checkpoint",
      location: path,
      remedy: "give the directory of a complete checkpoint, such as checkpoints/step-100",
      cause,
    });
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
