import { LapidaryError } from "@lapidary/std";

export const damaged = (location: string, why: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_STORE", message: `the output of a stage cannot be used: ${why}`, location });
