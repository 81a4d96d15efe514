import { LapidaryError } from "@lapidary/std";

/** A mistake in a rule. */
export const ruleError = (message: string, location: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_RULE", message, location, remedy });
