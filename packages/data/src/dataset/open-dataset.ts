import { RowDataset } from "../rows/row-dataset.js";
import { hasRows } from "../rows/rows-manifest.js";
import { type Dataset, openCorpus } from "./dataset.js";

/** A prepared dataset of either kind. A batch of rows also has segments. */
export type AnyDataset = Dataset | RowDataset;

/**
 * Opens a prepared dataset. Its manifest decides its kind.
 *
 * @throws LapidaryError `LAP_DATA_DATASET` if the directory does not contain a complete dataset
 */
export const openDataset = (directory: string): AnyDataset => (hasRows(directory) ? new RowDataset(directory) : openCorpus(directory));
