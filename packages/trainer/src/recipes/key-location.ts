import { LapidaryError } from "@lapidary/std";

/** An error about an option or a parameter set with the location of its key. */
export function atKey(error: unknown, locationOf: (path: readonly string[]) => string): unknown {
  if (!(error instanceof LapidaryError) || error.location === undefined) return error;
  const [, of, name] = /^(options|sets)\.(\w+)$/.exec(error.location) ?? [];
  return of === undefined || name === undefined ? error : error.with({ location: `${locationOf([of, name])}: ${error.location}` });
}
