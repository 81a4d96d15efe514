import { MixtureDataset } from "../mixed/mixture-dataset.js";
import { hasMixture, parseMixtureManifest } from "../mixed/mixture-manifest.js";
import { RowDataset } from "../rows/row-dataset.js";
import { hasRows } from "../rows/rows-manifest.js";
import { type Dataset, openCorpus } from "./dataset.js";
import { readManifestJson } from "./manifest.js";

/** A prepared dataset of any kind. A batch of rows also has segments. */
export type AnyDataset = Dataset | RowDataset | MixtureDataset;

/**
 * Opens a prepared dataset. Its manifest decides its kind.
 *
 * @throws LapidaryError `LAP_DATA_DATASET` if the directory does not contain a complete dataset
 */
export function openDataset(directory: string): AnyDataset {
  const json = readManifestJson(directory);
  if (hasRows(json)) return new RowDataset(directory);
  // The description of a mixture names every shard, so it is parsed once.
  return hasMixture(json) ? new MixtureDataset(directory, parseMixtureManifest(directory, json)) : openCorpus(directory);
}
