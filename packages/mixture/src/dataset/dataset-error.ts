import { isSystemError, LapidaryError } from "@lapidary/std";

/** @param location a file of the dataset */
export const damagedDataset = (location: string, why: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_DATA_DATASET",
    message: `the dataset is incomplete or damaged: ${why}`,
    location,
    remedy: "copy the file again from where the dataset was written, or write the dataset again with `lapidary data run`",
  });

/** The error of a file of the dataset that cannot be read. Other errors are returned as they are. */
export const unreadable = (location: string, error: unknown): unknown =>
  isSystemError(error) ? damagedDataset(location, error.code === "ENOENT" ? "the file is missing" : error.message) : error;
