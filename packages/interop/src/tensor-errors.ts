import { LapidaryError } from "@lapidary/std";

/** @param file the file of the tensor, or the directory of the checkpoint */
export const tensorError = (
  file: string,
  tensor: string,
  problem: string,
  remedy = "check that config.json and the weights belong together",
): LapidaryError =>
  new LapidaryError({
    code: "LAP_CHECKPOINT_TENSOR",
    message: `tensor ${tensor}: ${problem}`,
    location: `${file}: tensor "${tensor}"`,
    remedy,
  });
