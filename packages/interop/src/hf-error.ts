import { LapidaryError } from "@lapidary/std";

export const configError = (file: string, key: string, problem: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_CHECKPOINT_CONFIG",
    message: `unsupported model configuration: ${problem}`,
    location: key === "" ? file : `${file}: ${key}`,
  });
