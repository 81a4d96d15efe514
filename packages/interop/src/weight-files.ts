import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { LapidaryError, ensure, counted } from "@lapidary/std";
import { z } from "zod";
import { isAdapterFile, isShard, mergeAdapter, notACheckpoint } from "./checkpoint-survey.js";
import { withDirectory } from "./file-kind.js";
import { readJson } from "./hf-config.js";
import { SafetensorsFile } from "./safetensors.js";
import { tensorError } from "./tensor-errors.js";
import type { TensorFile } from "./tensor-file.js";
import { ZarrFolder } from "./zarr.js";

const names = { single: "model.safetensors", index: "model.safetensors.index.json", orbax: "orbax/params" } as const;

/**
 * Opens the set of weights of a checkpoint directory, and returns the file of every tensor. Rejects a second set of weights, shards that are missing from
 * the index, and an adapter next to the weights, because reading one of them would ignore the other.
 *
 * @param opened receives each opened file, for the caller to close, also if this function throws
 */
export async function openWeights(directory: string, opened: TensorFile[]): Promise<ReadonlyMap<string, TensorFile>> {
  const [hasSingle, index, orbax] = await Promise.all(
    [names.single, names.index, names.orbax].map((name) => exists(join(directory, name))),
  );
  const files = await readdir(directory);
  const adapter = files.find(isAdapterFile);
  const map = index === true ? await readIndex(join(directory, names.index)) : undefined;
  // Some tools write an index for a single file too.
  const single = hasSingle === true && !(map !== undefined && [...map.values()].every((name) => name === names.single));
  const sets = [...(single ? [names.single] : []), ...(index === true ? [names.index] : []), ...(orbax === true ? [names.orbax] : [])];
  if (sets.length === 0) throw await notACheckpoint(directory, `neither ${names.single} nor ${names.index}`);
  if (adapter !== undefined)
    throw ambiguous(
      directory,
      `an adapter (${adapter}) next to the weights, which would be ignored`,
      `${withDirectory(mergeAdapter, directory)}; or move the adapter_* files elsewhere if the adapter is not needed`,
    );
  const shards = files.filter(isShard);
  if (sets.length > 1 || (map === undefined && shards.length > 0))
    throw ambiguous(
      directory,
      `more than one set of weights: ${[...sets, ...(map === undefined && shards.length > 0 ? [`shards such as ${shards[0]}`] : [])].join(", ")}`,
      "keep one set and move the others elsewhere",
    );
  if (map !== undefined) return openShards(directory, map, shards, opened);
  const file = single ? await SafetensorsFile.open(join(directory, names.single)) : await ZarrFolder.open(join(directory, names.orbax));
  opened.push(file);
  return new Map(file.names.map((name) => [name, file]));
}

const ambiguous = (location: string, what: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CHECKPOINT_AMBIGUOUS", message: `the directory has ${what}`, location, remedy });

/** An index contains file names, never paths. */
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$/)) });

/** Name of each tensor → name of its file. */
async function readIndex(path: string): Promise<ReadonlyMap<string, string>> {
  const index = indexSchema.safeParse(await readJson(path));
  if (!index.success)
    throw indexError(
      path,
      "the index has no weight_map from tensor names to .safetensors files in the same directory",
      "fetch or write the checkpoint again",
    );
  return new Map(Object.entries(index.data.weight_map));
}

/** Opens the shards, and checks that index and shards agree: the index lists exactly the tensors of each shard. */
async function openShards(
  directory: string,
  map: ReadonlyMap<string, string>,
  onDisk: readonly string[],
  opened: TensorFile[],
): Promise<Map<string, TensorFile>> {
  const named = [...new Set(map.values())].sort();
  const missing = await Promise.all(named.map(async (name) => ((await exists(join(directory, name))) ? [] : [name])));
  const [first, ...more] = missing.flat();
  if (first !== undefined)
    throw indexError(
      join(directory, first),
      `${1 + more.length} of ${counted(named.length, "file")} in the index ${more.length === 0 ? "is" : "are"} missing: ${[first, ...more].slice(0, 3).join(", ")}`,
      "fetch the missing files, or wait until the download is complete",
    );
  const unnamed = onDisk.find((name) => !named.includes(name));
  if (unnamed !== undefined)
    throw indexError(
      join(directory, unnamed),
      "this shard is missing from the index, and its tensors would be ignored",
      "fetch the index that belongs to the shards, or move the shard elsewhere",
    );
  const byName = new Map<string, SafetensorsFile>();
  for (const name of named) {
    const file = await SafetensorsFile.open(join(directory, name));
    opened.push(file);
    byName.set(name, file);
  }
  const together = "fetch or write the index and its shards again: they do not belong together";
  for (const [tensor, name] of map)
    if (byName.get(name)?.dimsOf(tensor) === undefined)
      throw tensorError(join(directory, name), tensor, "missing from this file, in which the index places it", together);
  for (const [name, file] of byName)
    for (const tensor of file.names) {
      const stated = map.get(tensor);
      if (stated === undefined) throw tensorError(file.path, tensor, "missing from the index, and would be ignored", together);
      if (stated !== name) throw tensorError(file.path, tensor, `it is in this file, the index places it in ${stated}`, together);
    }
  return new Map([...map].map(([tensor, name]) => [tensor, ensure(byName.get(name), name)]));
}

const indexError = (location: string, message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CHECKPOINT_INDEX", message, location, remedy });

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Whether the path exists and is not a directory. The reader rejects a pipe. */
export const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => !found.isDirectory(),
    () => false,
  );
